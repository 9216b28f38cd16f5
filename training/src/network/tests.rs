//! Gradients against candle's own operators and against finite differences.
use super::*;
use crate::op::Kind;
use crate::random::Random;

/// A network with every kind of layer: strides, a residual, several activations. (candle's gradient of a convolution with
/// strides needs images whose height is their width.)
fn every_layer(width: usize) -> Result<Network> {
    let mut b = Builder::new(&Device::Cpu, 3);
    let x = b.input(&[9, width, 3])?;
    let same = |kind, stride| Geometry::same(kind, [3, 3], stride);
    let relu6 = Activation::Clip(0.0, 6.0);
    let x = b.block("stem", x, 12, [3, 3], same(Kind::Dense, 1), relu6)?;
    let y = b.block(
        "depthwise",
        x,
        12,
        [3, 3],
        same(Kind::Depthwise, 1),
        Activation::HardSwish,
    )?;
    let y = b.block(
        "project",
        y,
        12,
        [1, 1],
        Geometry::POINTWISE,
        Activation::None,
    )?;
    let x = b.add("add", x, y)?;
    let deep = x;
    let s = b.mean_pixels("squeeze", x)?;
    let s = b.linear("reduce", s, 6, Activation::Relu)?;
    let s = b.linear("excite", s, 12, HARD_SIGMOID)?;
    let x = b.gate("gate", x, s)?;
    let x = b.block(
        "down",
        x,
        12,
        [3, 3],
        same(Kind::Depthwise, 2),
        Activation::Relu,
    )?;
    let x = b.block(
        "dense",
        x,
        20,
        [3, 3],
        same(Kind::Dense, 2),
        Activation::Relu,
    )?;
    let y = b.mean_pixels("mean", x)?;
    let z = b.flatten("flat", x)?;
    let z = b.linear("hidden", z, 20, Activation::Relu)?;
    let x = b.add("both", y, z)?;
    let g = b.gru("gru", deep, 20)?;
    let x = b.add("remembered", x, g)?;
    let x = b.linear("swish", x, 20, Activation::HardSwish)?;
    let x = b.dropout("dropout", x, 0.25)?;
    b.linear("classifier", x, 5, Activation::None)?;
    b.finish()
}

fn input(network: &Network, batch: usize) -> Result<Tensor> {
    let mut random = Random::new(5, 0);
    let mut shape = vec![batch];
    shape.extend_from_slice(network.input_shape());
    let values = (0..shape.iter().product::<usize>())
        .map(|_| random.normal())
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A loss that tells every output from every other.
fn loss(pass: &Pass) -> Result<Tensor> {
    let y = pass.output();
    let n = y.elem_count();
    let factors: Vec<f32> = (0..n)
        .map(|i| ((i * 7 % 11) as f32 - 4.0) / n as f32)
        .collect();
    (y * Tensor::from_vec(factors, y.shape(), y.device())?)?.sum_all()
}

fn run(network: &mut Network, x: &Tensor, kernels: bool) -> Result<(Tensor, f32, Gradients)> {
    network.kernels = kernels;
    let pass = network.train(x, &mut Random::new(9, 0), &[])?;
    let loss = loss(&pass)?;
    let gradients = pass.gradients(network, &loss)?;
    Ok((pass.output().detach(), loss.to_scalar()?, gradients))
}

fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    let peak = b.abs()?.max_all()?.to_scalar::<f32>()?;
    Ok((a - b)?.abs()?.max_all()?.to_scalar::<f32>()? / peak.max(1e-3))
}

#[test]
fn gradients_equal_those_of_candle() -> Result<()> {
    let mut network = every_layer(9)?;
    let x = input(&network, 6)?;
    let (y, _, own) = run(&mut network, &x, true)?;
    let running = network.running.clone();
    let mut other = every_layer(9)?;
    let (want, _, theirs) = run(&mut other, &x, false)?;
    assert!(distance(&y, &want)? < 1e-4, "{y} for {want}");
    assert_eq!(own.len(), network.parameters.len());
    for (name, want) in &theirs {
        let off = distance(&own[name], want)?;
        assert!(off < 1e-3, "{name}: {off}");
    }
    for (name, want) in &other.running {
        let pairs = running[name].mean.iter().zip(&want.mean);
        let pairs = pairs.chain(running[name].variance.iter().zip(&want.variance));
        for (got, want) in pairs {
            assert!((got - want).abs() < 1e-4, "{name}: {got} for {want}");
        }
    }
    let (a, b) = (network.evaluate(&x)?, {
        other.kernels = false;
        other.evaluate(&x)?
    });
    assert!(distance(&a, &b)? < 1e-3);
    Ok(())
}

#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    let mut network = every_layer(8)?;
    let x = input(&network, 6)?;
    let (_, _, gradients) = run(&mut network, &x, true)?;
    let names: Vec<String> = network.parameters.keys().cloned().collect();
    let mut checked = 0;
    for name in names {
        let var = network.parameters[&name].clone();
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        let gradient = gradients[&name].flatten_all()?.to_vec1::<f32>()?;
        let peak = gradient.iter().fold(0f32, |m, v| m.max(v.abs()));
        for at in [0, values.len() / 2, values.len() - 1] {
            let mut at_distance = |step: f32| -> Result<f32> {
                let mut moved = values.clone();
                moved[at] += step;
                var.set(&Tensor::from_vec(moved, var.shape(), var.device())?)?;
                Ok(run(&mut network, &x, true)?.1)
            };
            let step = 1e-3;
            let slope = (at_distance(step)? - at_distance(-step)?) / (2.0 * step);
            at_distance(0.0)?;
            let off = (slope - gradient[at]).abs() / peak.max(1e-2);
            assert!(off < 0.05, "{name}[{at}]: {} for {slope}", gradient[at]);
            checked += 1;
        }
    }
    assert_eq!(checked, 3 * network.parameters.len());
    Ok(())
}

#[test]
fn a_step_does_not_depend_on_the_number_of_threads() -> Result<()> {
    let mut seen = Vec::new();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(candle_core::Error::wrap)?;
        seen.push(pool.install(|| -> Result<_> {
            let mut network = every_layer(9)?;
            let x = input(&network, 32)?;
            let (_, loss, gradients) = run(&mut network, &x, true)?;
            let gradients = gradients
                .values()
                .map(|g| g.flatten_all()?.to_vec1::<f32>())
                .collect::<Result<Vec<_>>>()?;
            Ok((loss, gradients))
        })?);
    }
    assert_eq!(seen[0], seen[1]);
    Ok(())
}

#[test]
fn frozen_layers_stay() -> Result<()> {
    let mut network = every_layer(9)?;
    let x = input(&network, 6)?;
    run(&mut network, &x, true)?;
    for name in ["stem", "depthwise", "project"] {
        network.frozen.insert(name.to_owned());
    }
    let running = network.running["depthwise"].clone();
    let (y, _, gradients) = run(&mut network, &x, true)?;
    assert!(!gradients.contains_key("stem.weight") && !gradients.contains_key("project.affine"));
    assert!(gradients.contains_key("down.weight") && gradients.contains_key("down.affine"));
    assert_eq!(network.running["depthwise"], running);
    let (want, _, theirs) = run(&mut network, &x, false)?;
    assert!(distance(&y, &want)? < 1e-4);
    for (name, want) in &theirs {
        assert!(distance(&gradients[name], want)? < 1e-3, "{name}");
    }
    // A frozen layer behind one that learns passes its gradient on.
    network.frozen = ["down".to_owned()].into();
    let (_, _, own) = run(&mut network, &x, true)?;
    let (_, _, theirs) = run(&mut network, &x, false)?;
    assert!(distance(&own["stem.weight"], &theirs["stem.weight"])? < 1e-3);
    Ok(())
}

#[test]
fn mistakes_are_named() -> Result<()> {
    let mut network = every_layer(9)?;
    let x = Tensor::zeros((2, 9, 7, 3), candle_core::DType::F32, &Device::Cpu)?;
    let message = network.evaluate(&x).unwrap_err().to_string();
    assert!(
        message.contains("[batch, 9, 9, 3], not [2, 9, 7, 3]"),
        "{message}"
    );
    let x = input(&network, 2)?;
    let pass = network.train(&x, &mut Random::new(1, 0), &[])?;
    let loss = loss(&pass)?;
    pass.gradients(&network, &loss)?;
    let twice = pass.gradients(&network, &loss).unwrap_err().to_string();
    assert!(twice.contains("ran backwards already"), "{twice}");
    let mut b = Builder::new(&Device::Cpu, 0);
    let x = b.input(&[2, 2, 1])?;
    let large = b.block(
        "a",
        x,
        4,
        [5, 5],
        Geometry {
            kind: Kind::Dense,
            stride: [1; 2],
            padding: [0; 2],
            more: [0; 2],
        },
        Activation::None,
    );
    assert!(
        large
            .unwrap_err()
            .to_string()
            .contains("larger than the padded input")
    );
    Ok(())
}
