//! Pruned networks: smaller tensors, the same answers where what went meant nothing.

use candle_core::{Device, Tensor, Var};
use cygnet_compiler::CompileOptions;
use cygnet_training::TrainingError;
use cygnet_training::export;
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::prune::{Importance, Of, Prune};
use cygnet_training::random::Random;

type Result<T> = std::result::Result<T, TrainingError>;

const ALL: [(Architecture, [usize; 3]); 8] = [
    (Architecture::MobilenetV1 { width: 0.25 }, [32, 32, 3]),
    (Architecture::MobilenetV2 { width: 0.35 }, [32, 32, 3]),
    (Architecture::DsCnn { channels: 32 }, [49, 10, 1]),
    (
        Architecture::MobilenetV3Small {
            width: 0.5,
            dropout: 0.0,
        },
        [33, 33, 3],
    ),
    (
        Architecture::EfficientnetLite0 { dropout: 0.0 },
        [33, 32, 3],
    ),
    (
        Architecture::Resnet {
            stages: 3,
            blocks: 1,
            width: 1.0,
        },
        [16, 16, 3],
    ),
    (Architecture::Tiny { channels: 8 }, [16, 16, 1]),
    (
        Architecture::Mlp {
            layers: 2,
            hidden: 48,
            dropout: 0.1,
        },
        [4, 4, 2],
    ),
];

fn input(network: &Network, batch: usize) -> Result<Tensor> {
    let mut random = Random::new(5, 0);
    let mut shape = vec![batch];
    shape.extend_from_slice(network.input_shape());
    let values = (0..shape.iter().product::<usize>()).map(|_| random.normal());
    Ok(Tensor::from_vec(values.collect(), shape, &Device::Cpu)?)
}

/// Random normalisations, as training leaves them.
fn trained(architecture: Architecture, shape: [usize; 3]) -> Result<Network> {
    let mut network = architecture.build(shape, 5, 3, &Device::Cpu)?;
    let mut random = Random::new(6, 0);
    for (name, var) in &network.parameters {
        if !name.ends_with(".weight") {
            let values = (0..var.elem_count()).map(|_| random.between(0.4, 1.2));
            var.set(&Tensor::from_vec(
                values.collect(),
                var.shape(),
                &Device::Cpu,
            )?)?;
        }
    }
    let mut random = Random::new(7, 0);
    for running in network.running.values_mut() {
        running
            .mean
            .iter_mut()
            .for_each(|m| *m = random.normal() * 0.2);
        let spread = |v: &mut f32| *v = random.between(0.5, 2.0);
        running.variance.iter_mut().for_each(spread);
    }
    Ok(network)
}

fn prune(keep: f32, importance: Importance) -> Prune {
    Prune {
        keep,
        importance,
        ..Prune::default()
    }
}

fn no_samples() -> cygnet_training::data::Samples {
    cygnet_training::data::Samples::default()
}

#[test]
fn what_is_left_is_what_was_asked_for() -> Result<()> {
    for (architecture, shape) in ALL {
        let network = trained(architecture, shape)?;
        let channels = network.channels();
        let before = network.cost(&channels, &channels.sizes)?;
        for of in [Of::Macs, Of::Weights] {
            let settings = Prune {
                of,
                ..prune(0.5, Importance::Norm)
            };
            let pruned = settings.apply(&network, &no_samples(), &[], 1)?;
            let after = pruned.channels();
            let after = pruned.cost(&after, &after.sizes)?;
            let (now, was) = match of {
                Of::Macs => (after.macs, before.macs),
                Of::Weights => (after.weights, before.weights),
            };
            assert!(
                2 * now <= was && 4 * now > was,
                "{architecture:?}: {now} of {was}"
            );
            assert!(pruned.parameter_count() < network.parameter_count());
            assert_eq!(pruned.evaluate(&input(&network, 2)?)?.dims(), [2, 5]);
            // The rest has the values that it had.
            for node in pruned.nodes.iter().filter(|n| n.layer.has_weights()) {
                let sizes = |n: &Network| {
                    n.parameter(&format!("{}.weight", node.name))
                        .map(|w| w.elem_count())
                };
                assert!(sizes(&pruned)? <= sizes(&network)?);
            }
        }
    }
    Ok(())
}

/// Sets every parameter of the channels to zero, in all layers that make them.
fn silence(network: &Network, gone: &[(usize, usize)]) -> Result<()> {
    let channels = network.channels();
    for (n, node) in network
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, n)| n.layer.has_weights())
    {
        let kinds: &[&str] = match network.running.contains_key(&node.name) {
            true => &["affine"],
            false => &["weight", "bias"],
        };
        for kind in kinds {
            let var: &Var = &network.parameters[&format!("{}.{kind}", node.name)];
            let mut values: Vec<f32> = var.flatten_all()?.to_vec1()?;
            let c = node.shape[node.shape.len() - 1];
            for row in values.chunks_exact_mut(c) {
                for &(_, channel) in gone.iter().filter(|(set, _)| *set == channels.set(n)) {
                    row[channel] = 0.0;
                }
            }
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?)?;
        }
    }
    Ok(())
}

#[test]
fn channels_that_are_zero_go_and_nothing_changes() -> Result<()> {
    for (architecture, shape) in ALL {
        for importance in [Importance::Norm, Importance::Scale] {
            let network = trained(architecture, shape)?;
            let channels = network.channels();
            let free = |set: &usize| !channels.fixed[*set];
            let gone: Vec<(usize, usize)> = (0..channels.sizes.len())
                .filter(free)
                .flat_map(|set| (0..4).map(move |k| (set, 2 * k + set % 2)))
                .collect();
            silence(&network, &gone)?;
            // As much as goes with four channels of every set.
            let counts: Vec<usize> = (channels.sizes.iter().zip(&channels.fixed))
                .map(|(size, fixed)| if *fixed { *size } else { size - 4 })
                .collect();
            let left = network.cost(&channels, &counts)?.macs as f64;
            let whole = network.cost(&channels, &channels.sizes)?.macs as f64;
            let settings = prune((left / whole) as f32 + 1e-6, importance);
            let pruned = settings.apply(&network, &no_samples(), &[], 1)?;
            let x = input(&network, 3)?;
            let (a, b) = (network.evaluate(&x)?, pruned.evaluate(&x)?);
            let peak = a.abs()?.max_all()?.to_scalar::<f32>()?;
            let off = (a - b)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(
                off < 1e-4 * peak.max(1.0),
                "{architecture:?} {importance:?}: {off} of {peak}"
            );
            assert_ne!(pruned.parameter_count(), network.parameter_count());
        }
    }
    Ok(())
}

#[test]
fn a_pruned_network_compiles_to_less() -> Result<()> {
    for (architecture, shape) in ALL {
        let network = trained(architecture, shape)?;
        let settings = Prune {
            of: Of::Weights,
            multiple: 8,
            ..prune(0.4, Importance::Norm)
        };
        let pruned = settings.apply(&network, &no_samples(), &[], 1)?;
        let size = |network: &Network| -> Result<usize> {
            let onnx = export::onnx(network, "net", true)?;
            let compiled = cygnet_compiler::compile(&onnx, &CompileOptions::default()).unwrap();
            Ok(compiled.program.bytes.len())
        };
        let (before, after) = (size(&network)?, size(&pruned)?);
        assert!(
            10 * after < 8 * before,
            "{architecture:?}: {after} of {before}"
        );
    }
    Ok(())
}

#[test]
fn a_share_that_cannot_be_is_refused() -> Result<()> {
    let network = trained(ALL[6].0, ALL[6].1)?;
    let settings = prune(0.001, Importance::Norm);
    let message = settings
        .apply(&network, &no_samples(), &[], 1)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("keep = 0.001") && message.contains("raise keep"),
        "{message}"
    );
    Ok(())
}
