//! Bundles: opening by map, self-test.

mod net;

use cygnet_format::DType;
use cygnet_format::golden::{GoldenWriter, Role};
use cygnet_format::op::*;
use cygnet_format::write::StateDesc;
use cygnet_runtime::{Model, OpenError, Options, OwnedSession, SelfTestError};
use net::*;
use std::path::Path;
use std::sync::Arc;

/// y = x + state; the state becomes y.
fn program() -> Vec<u8> {
    let mut net = Net::new();
    let state = net.state(DType::F32, &[2]);
    let x = net.fixed(DType::F32, &[2]);
    let x = net.input(x);
    let y = net.fixed(DType::F32, &[2]);
    net.step(
        Binary {
            kind: BinaryKind::Add,
        },
        &[x, state],
        y,
    );
    net.desc.states.push(StateDesc {
        tensor: state,
        next: y,
        init: None,
    });
    net.write(&[y]).bytes().to_vec()
}

fn golden(reset: bool, x: [f32; 2], y: [f32; 2]) -> Vec<u8> {
    let bytes = |v: [f32; 2]| v.map(f32::to_le_bytes).concat();
    let mut w = GoldenWriter::new(1e-4, 1e-6, reset);
    w.tensor(Role::Input, 0, DType::F32, &[2], &bytes(x))
        .tensor(Role::Output, 0, DType::F32, &[2], &bytes(y));
    w.write().unwrap()
}

fn bundle(examples: &[Vec<u8>]) -> Vec<u8> {
    let program = program();
    let names: Vec<String> = (0..examples.len())
        .map(|i| format!("golden/{i}.cygt"))
        .collect();
    let mut entries: Vec<(&str, &[u8])> = vec![("manifest.json", b"{}"), ("program.cyg", &program)];
    entries.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(examples.iter().map(Vec::as_slice)),
    );
    zip(&entries)
}

#[test]
fn self_test_proves_examples_in_order() {
    let good = [
        golden(true, [1., 2.], [1., 2.]),
        golden(false, [1., 1.], [2., 3.]),
        golden(true, [0., 5.], [0., 5.]),
    ];
    let test = |examples: &[Vec<u8>]| {
        Arc::new(Model::from_bytes(&bundle(examples)).unwrap()).self_test(Options::default())
    };
    assert_eq!(test(&good), Ok(3));
    assert_eq!(test(&[]), Err(SelfTestError::NoExamples));
    let wrong = [good[0].clone(), golden(false, [1., 1.], [2., 3.1])];
    let Err(SelfTestError::Differs {
        example: 1,
        output: 0,
        element: 1,
        got,
        ..
    }) = test(&wrong)
    else {
        panic!()
    };
    assert_eq!(got, 3.0);
    assert_eq!(
        test(&[good[0][..100].to_vec()]),
        Err(SelfTestError::Malformed { example: 0 })
    );
}

#[test]
fn files_open() {
    // WASI knows neither a folder for temporary files nor process ids.
    let dir =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("model-{}", std::env::consts::ARCH));
    std::fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in [("model.cygnet", bundle(&[])), ("program.cyg", program())] {
        let path = dir.join(name);
        std::fs::write(&path, &bytes).unwrap();
        let model = Arc::new(Model::open(&path).unwrap());
        assert_eq!(model.bundle().is_some(), name == "model.cygnet");
        let mut session = OwnedSession::new(model, Options::default()).unwrap();
        session
            .input_mut(0)
            .unwrap()
            .as_mut_slice::<f32>()
            .unwrap()
            .copy_from_slice(&[3., 4.]);
        session.run().unwrap();
        session.run().unwrap();
        assert_eq!(
            session.state(0).unwrap().as_slice::<f32>().unwrap(),
            [6., 8.]
        );
    }
    std::fs::write(dir.join("junk"), b"not a model").unwrap();
    assert!(matches!(
        Model::open(dir.join("junk")),
        Err(OpenError::Bundle(_))
    ));
    assert!(matches!(
        Model::open(dir.join("missing")),
        Err(OpenError::Io(_))
    ));
    std::fs::remove_dir_all(&dir).unwrap();
}
