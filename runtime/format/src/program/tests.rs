use super::*;
use crate::dim::Axes;
use crate::op;
use crate::write::*;
use alloc::{sync::Arc, vec, vec::Vec};

fn tensor(name: &str, dims: &[Dim], place: PlaceDesc, bytes_bound: u64) -> TensorDesc {
    TensorDesc {
        name: name.into(),
        dtype: DType::F32,
        dims: dims.to_vec(),
        place,
        bytes_bound,
    }
}

fn arena(offset: u64) -> PlaceDesc {
    PlaceDesc::Arena { offset }
}

/// `w` symbolic in 1..=8: y = relu(x + c); state accumulates x; an `if` copies one of two.
fn sample() -> ProgramDesc {
    let w = Dim::expr(0);
    let id = |i: u32| Some(TensorId(i));
    let step = |op: Op, inputs: &[u32], outputs: &[u32], name: &str| StepDesc {
        op,
        inputs: inputs.iter().map(|&i| id(i)).collect(),
        outputs: outputs.iter().map(|&i| id(i)).collect(),
        name: name.into(),
    };
    let add = op::Binary {
        kind: op::BinaryKind::Add,
    };
    let constant = PlaceDesc::Const {
        data: Arc::from(1.5f32.to_le_bytes()),
    };
    let mut flag = tensor("flag", &[], arena(192), 1);
    flag.dtype = DType::Bool;
    ProgramDesc {
        symbols: vec![SymbolDesc {
            name: "w".into(),
            lo: 1,
            hi: 8,
            kind: SymbolKind::Input,
        }],
        exprs: vec![
            ExprDesc {
                ops: vec![ExprOp::Symbol(0)],
            },
            ExprDesc {
                ops: vec![ExprOp::Symbol(0), ExprOp::Const(2), ExprOp::Mul],
            },
        ],
        tensors: vec![
            tensor("x", &[w], arena(64), 32),
            tensor("c", &[], constant, 4),
            tensor("y", &[w], arena(128), 32),
            tensor("state", &[Dim(8)], PlaceDesc::State { offset: 0 }, 32),
            tensor("next", &[Dim(8)], arena(256), 32),
            flag,
            tensor("z", &[w], arena(320), 32),
            tensor("z2", &[w], arena(384), 32),
            tensor("twice", &[Dim::expr(1)], arena(448), 64),
        ],
        inputs: vec![TensorId(0), TensorId(5)],
        outputs: vec![TensorId(7), TensorId(8)],
        states: vec![StateDesc {
            tensor: TensorId(3),
            next: TensorId(4),
            init: Some(vec![7; 8]),
        }],
        blocks: vec![
            BlockDesc {
                inputs: vec![],
                outputs: vec![],
                steps: vec![
                    step(add.into(), &[0, 1], &[2], "add"),
                    step(
                        op::Unary {
                            kind: op::UnaryKind::Relu,
                            a: 0.0,
                            b: 0.0,
                        }
                        .into(),
                        &[2],
                        &[2],
                        "relu",
                    ),
                    step(
                        op::Binary {
                            kind: op::BinaryKind::Mul,
                        }
                        .into(),
                        &[3, 3],
                        &[4],
                        "",
                    ),
                    step(
                        op::If {
                            then_block: BlockId(1),
                            else_block: BlockId(2),
                        }
                        .into(),
                        &[5],
                        &[7],
                        "if",
                    ),
                    step(op::Concat { axis: 0 }.into(), &[2, 2], &[8], "concat"),
                ],
            },
            BlockDesc {
                inputs: vec![],
                outputs: vec![TensorId(6)],
                steps: vec![step(op::Reshape {}.into(), &[2], &[6], "then")],
            },
            BlockDesc {
                inputs: vec![],
                outputs: vec![TensorId(0)],
                steps: vec![],
            },
        ],
        arena_bytes: 512,
        state_bytes: 64,
        metadata: vec![("model".into(), "sample".into())],
    }
}

fn walk(p: &Program<'_>) -> usize {
    let mut n = p.metadata().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    for i in 0..p.symbols() as u32 {
        n += p.symbol(i).name.len();
    }
    for i in 0..p.exprs() as u32 {
        n += p.evaluate(i, |_| 3).is_some() as usize + p.expr_symbol(i).is_some() as usize;
    }
    for i in 0..p.tensors() as u32 {
        let t = p.tensor(TensorId(i));
        n += t.name.len() + t.dims.iter().count();
        assert!(
            t.arena_offset()
                .is_none_or(|o| o + t.bytes_bound <= p.arena_bytes())
        );
    }
    for i in 0..p.states() {
        n += p.state(i).unwrap().init.len();
    }
    for b in 0..p.blocks() as u32 {
        n += p.block(BlockId(b)).inputs.len() + p.block(BlockId(b)).outputs.len();
    }
    for s in 0..p.steps() as u32 {
        let step = p.step(s).unwrap();
        n += step.inputs.iter().flatten().count() + step.outputs.iter().flatten().count();
        assert_eq!(step.op().unwrap().code(), step.code);
    }
    n
}

#[test]
fn round_trip() {
    let desc = sample();
    let bytes = write_program(&desc).unwrap();
    assert_eq!(bytes, write_program(&sample()).unwrap());
    let p = Program::parse(&bytes).unwrap();
    assert!(walk(&p) > 40);
    assert_eq!(
        (p.symbols(), p.exprs(), p.tensors(), p.steps(), p.blocks()),
        (1, 2, 9, 6, 3)
    );
    assert_eq!(
        (p.planned_bytes(), p.state_bytes(), p.arena_bytes()),
        (512, 64, 576)
    );
    assert_eq!(
        p.symbol(0),
        SymbolInfo {
            name: "w",
            lo: 1,
            hi: 8,
            kind: SymbolKind::Input
        }
    );
    assert_eq!(
        (p.evaluate(1, |_| 5), p.expr_symbol(0), p.expr_symbol(1)),
        (Some(10), Some(0), None)
    );
    assert_eq!(p.tensor(TensorId(1)).place, Place::Const(0));
    assert_eq!(&p.constants()[..4], 1.5f32.to_le_bytes());
    assert_eq!(p.state(0).unwrap().init, [7; 8]);
    for (s, want) in desc.blocks.iter().flat_map(|b| &b.steps).enumerate() {
        let got = p.step(s as u32).unwrap();
        assert_eq!((got.op(), got.name), (Some(want.op), &*want.name));
        assert!(got.inputs.iter().eq(want.inputs.iter().copied()));
        assert!(got.outputs.iter().eq(want.outputs.iter().copied()));
    }
    assert!(p.metadata().eq([("model", "sample")]));
}

#[test]
fn damaged_bytes_never_panic() {
    let bytes = write_program(&sample()).unwrap();
    for n in 0..bytes.len() {
        assert!(Program::parse(&bytes[..n]).is_err(), "{n}");
    }
    let mut damaged = bytes.clone();
    for i in 0..bytes.len() * 8 {
        damaged[i / 8] ^= 1 << (i % 8);
        if let Ok(p) = Program::parse(&damaged) {
            walk(&p);
        }
        damaged[i / 8] = bytes[i / 8];
    }
    for i in 0..bytes.len() / 4 {
        for value in [0u32, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            damaged[i * 4..][..4].copy_from_slice(&value.to_le_bytes());
            if let Ok(p) = Program::parse(&damaged) {
                walk(&p);
            }
        }
        damaged[i * 4..][..4].copy_from_slice(&bytes[i * 4..][..4]);
    }
}

#[test]
fn invalid_descriptions_are_refused() {
    use ParseErrorKind as Kind;
    type Change = fn(&mut ProgramDesc);
    let cases: &[(Kind, Change)] = &[
        (Kind::Overlap, |d| d.tensors[8].place = arena(128)),
        (Kind::Overlap, |d| {
            d.tensors[4].place = PlaceDesc::State { offset: 0 }
        }),
        (Kind::TensorPlace, |d| d.tensors[4].place = arena(0)),
        (Kind::TensorPlace, |d| d.tensors[2].place = arena(130)),
        (Kind::TensorPlace, |d| d.tensors[2].place = arena(512)),
        (Kind::TensorPlace, |d| {
            d.tensors[2].place = arena(u64::MAX - 63)
        }),
        (Kind::TensorPlace, |d| {
            d.tensors[3].place = PlaceDesc::State { offset: 64 }
        }),
        (Kind::TensorSize, |d| d.tensors[4].bytes_bound = 31),
        (Kind::TensorSize, |d| {
            d.tensors[4].dims = vec![Dim(i32::MAX); 8]
        }),
        (Kind::TensorSize, |d| d.tensors[1].dims = vec![Dim(2)]),
        (Kind::TensorDim, |d| d.tensors[0].dims = vec![Dim::expr(2)]),
        (Kind::Id, |d| {
            d.blocks[0].steps[0].inputs[1] = Some(TensorId(9))
        }),
        (Kind::Operands, |d| d.blocks[0].steps[0].inputs[1] = None),
        (Kind::Operands, |d| d.blocks[0].steps[0].inputs.truncate(1)),
        (Kind::Operands, |d| d.blocks[0].steps[0].outputs.push(None)),
        (Kind::ConstantWrite, |d| {
            d.blocks[0].steps[0].outputs[0] = Some(TensorId(1))
        }),
        (Kind::Body, |d| d.blocks[2].outputs.clear()),
        (Kind::Block, |d| d.blocks[0].outputs.push(TensorId(0))),
        (Kind::Io, |d| d.inputs.push(TensorId(1))),
        (Kind::Io, |d| d.outputs.push(TensorId(100))),
        (Kind::State, |d| d.states[0].tensor = TensorId(0)),
        (Kind::State, |d| d.states[0].init = Some(vec![0; 33])),
        (Kind::Symbol, |d| d.symbols[0].lo = 9),
        (Kind::Symbol, |d| d.symbols[0].lo = -1),
        (Kind::Expression, |d| d.exprs[0].ops.push(ExprOp::Add)),
        (Kind::Expression, |d| {
            d.exprs[0].ops = vec![ExprOp::Symbol(1)]
        }),
        (Kind::Expression, |d| d.exprs[0].ops.clear()),
        (Kind::Expression, |d| {
            d.exprs[0].ops = [[ExprOp::Const(1); 17].as_slice(), &[ExprOp::Add; 16]].concat()
        }),
        (Kind::Header, |d| d.state_bytes = 1024),
        (Kind::Header, |d| d.arena_bytes = 1 << 60),
    ];
    for (i, (kind, change)) in cases.iter().enumerate() {
        let mut desc = sample();
        change(&mut desc);
        match write_program(&desc).err() {
            Some(WriteError::Invalid(e)) => assert_eq!(e.kind, *kind, "case {i}: {e}"),
            other => panic!("case {i}: {other:?}"),
        }
    }
    let mut desc = sample();
    desc.blocks[1].steps[0].op = op::If {
        then_block: BlockId(1),
        else_block: BlockId(2),
    }
    .into();
    assert_eq!(write_program(&desc), Err(WriteError::Blocks));
    let mut desc = sample();
    desc.blocks.swap(0, 1);
    assert!(write_program(&desc).is_err());
}

#[test]
fn in_place_is_exact_and_single() {
    let mut desc = sample();
    // relu on its own input is allowed (the sample does it); a transpose is not.
    desc.blocks[0].steps[1].op = op::Transpose {
        perm: Axes::new(&[0]).unwrap(),
    }
    .into();
    assert!(
        matches!(write_program(&desc), Err(WriteError::Invalid(e)) if e.kind == ParseErrorKind::Overlap)
    );
    let mut desc = sample();
    // x + x written over x reads it twice.
    desc.blocks[0].steps[0].inputs = vec![Some(TensorId(0)); 2];
    desc.blocks[0].steps[0].outputs = vec![Some(TensorId(0))];
    assert!(
        matches!(write_program(&desc), Err(WriteError::Invalid(e)) if e.kind == ParseErrorKind::Overlap)
    );
}

#[test]
fn shared_constants_are_stored_once() {
    let mut desc = sample();
    let data: Arc<[u8]> = Arc::from(vec![3u8; 4096]);
    let before = write_program(&desc).unwrap().len();
    let names: Vec<_> = (0..4).map(|i| alloc::format!("k{i}")).collect();
    for name in &names {
        desc.tensors.push(tensor(
            name,
            &[Dim(1024)],
            PlaceDesc::Const { data: data.clone() },
            4096,
        ));
    }
    let bytes = write_program(&desc).unwrap();
    assert!(bytes.len() < before + 4096 + 1024);
    let p = Program::parse(&bytes).unwrap();
    assert_eq!(p.tensor(TensorId(9)).place, p.tensor(TensorId(12)).place);
}
