//! Small programs for tests: every tensor has memory of its own.
#![allow(dead_code)]

use cygnet_format::program::layout::ALIGN;
use cygnet_format::write::*;
use cygnet_format::{Axes, BlockId, DType, Dim, ExprOp, Op, expr, program::TensorId};
use cygnet_runtime::{Config, Element, Pool, Program, Session};
use std::sync::Arc;

/// A 64-byte aligned buffer.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Line([u8; 64]);

pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    pub fn zeroed(len: usize) -> Buffer {
        Buffer {
            lines: vec![Line([0; 64]); len.div_ceil(64)],
            len,
        }
    }
    pub fn of(bytes: &[u8]) -> Buffer {
        let mut b = Buffer::zeroed(bytes.len());
        b.bytes().copy_from_slice(bytes);
        b
    }
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `Line` is plain bytes without padding, and `len` fits the lines.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[derive(Default)]
pub struct Net {
    pub desc: ProgramDesc,
    end: u64,
}

impl Net {
    pub fn new() -> Net {
        let mut net = Net::default();
        net.desc.blocks.push(BlockDesc::default());
        net
    }

    pub fn symbol(&mut self, name: &str, lo: i64, hi: i64, kind: SymbolKind) -> Dim {
        self.desc.symbols.push(SymbolDesc {
            name: name.into(),
            lo,
            hi,
            kind,
        });
        let symbol = self.desc.symbols.len() as u32 - 1;
        self.expr(&[ExprOp::Symbol(symbol)])
    }

    pub fn expr(&mut self, ops: &[ExprOp]) -> Dim {
        self.desc.exprs.push(ExprDesc { ops: ops.to_vec() });
        Dim::expr(self.desc.exprs.len() as u32 - 1)
    }

    fn bound(&self, dtype: DType, dims: &[Dim]) -> u64 {
        let size = |d: &Dim| match d.as_expr() {
            None => d.0 as u64,
            Some(e) => {
                let ops = &self.desc.exprs[e as usize].ops;
                expr::evaluate(ops.iter().copied(), |s| self.desc.symbols[s as usize].hi).unwrap()
                    as u64
            }
        };
        dims.iter().map(size).product::<u64>() * dtype.size() as u64
    }

    fn add(&mut self, dtype: DType, dims: &[Dim], place: PlaceDesc, bytes_bound: u64) -> TensorId {
        let name = format!("t{}", self.desc.tensors.len());
        self.desc.tensors.push(TensorDesc {
            name,
            dtype,
            dims: dims.to_vec(),
            place,
            bytes_bound,
        });
        TensorId(self.desc.tensors.len() as u32 - 1)
    }

    pub fn tensor(&mut self, dtype: DType, dims: &[Dim]) -> TensorId {
        let bound = self.bound(dtype, dims);
        let offset = self.end;
        self.end = (self.end + bound).div_ceil(ALIGN) * ALIGN;
        self.add(dtype, dims, PlaceDesc::Arena { offset }, bound)
    }

    pub fn fixed(&mut self, dtype: DType, dims: &[usize]) -> TensorId {
        let dims: Vec<Dim> = dims.iter().map(|&d| Dim(d as i32)).collect();
        self.tensor(dtype, &dims)
    }

    /// States come before every other tensor.
    pub fn state(&mut self, dtype: DType, dims: &[usize]) -> TensorId {
        assert_eq!(self.end, self.desc.state_bytes);
        let dims: Vec<Dim> = dims.iter().map(|&d| Dim(d as i32)).collect();
        let bound = self.bound(dtype, &dims);
        let offset = self.end;
        self.end = (self.end + bound).div_ceil(ALIGN) * ALIGN;
        self.desc.state_bytes = self.end;
        self.add(dtype, &dims, PlaceDesc::State { offset }, bound)
    }

    pub fn constant(&mut self, dtype: DType, dims: &[usize], data: &[u8]) -> TensorId {
        let dims: Vec<Dim> = dims.iter().map(|&d| Dim(d as i32)).collect();
        self.add(
            dtype,
            &dims,
            PlaceDesc::Const {
                data: Arc::from(data),
            },
            data.len() as u64,
        )
    }

    pub fn floats(&mut self, dims: &[usize], data: &[f32]) -> TensorId {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DType::F32, dims, &bytes)
    }

    pub fn integers(&mut self, dims: &[usize], data: &[i64]) -> TensorId {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DType::I64, dims, &bytes)
    }

    pub fn input(&mut self, id: TensorId) -> TensorId {
        self.desc.inputs.push(id);
        id
    }

    pub fn block(&mut self) -> BlockId {
        self.desc.blocks.push(BlockDesc::default());
        BlockId(self.desc.blocks.len() as u32 - 1)
    }

    pub fn step_in(
        &mut self,
        block: BlockId,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
        outputs: &[Option<TensorId>],
    ) {
        let step = StepDesc {
            op: op.into(),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            name: String::new(),
        };
        self.desc.blocks[block.0 as usize].steps.push(step);
    }

    pub fn step(&mut self, op: impl Into<Op>, inputs: &[TensorId], output: TensorId) {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.step_in(BlockId(0), op, &inputs, &[Some(output)]);
    }

    pub fn write(mut self, outputs: &[TensorId]) -> Buffer {
        self.desc.outputs = outputs.to_vec();
        self.desc.arena_bytes = self.end;
        Buffer::of(&write_program(&self.desc).unwrap())
    }
}

/// Runs `f` with a session of a written program.
pub fn with_session<R>(
    program: &mut Buffer,
    config: Config<'_>,
    f: impl FnOnce(&mut Session<'_>) -> R,
) -> R {
    let program = Program::parse(program.bytes()).unwrap();
    let mut arena = Buffer::zeroed(program.arena_bytes() as usize);
    f(&mut Session::new(&program, arena.bytes(), config).unwrap())
}

/// Deterministic values in -1..1.
pub fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(2654435761).wrapping_add(12345);
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

pub fn close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= tolerance * w.abs().max(1.0),
            "element {i}: {g}, expected {w}"
        );
    }
}

/// A ZIP of stored entries whose data is 64-byte aligned. Checksums are zero: the reader does not look at them.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let local = out.len() as u32;
        let extra = (64 - (out.len() + 30 + name.len()) % 64) % 64;
        let sizes = [0, data.len() as u32, data.len() as u32]
            .map(u32::to_le_bytes)
            .concat();
        let fixed = [
            &[20u8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &sizes,
            &(name.len() as u16).to_le_bytes(),
        ]
        .concat();
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&fixed);
        out.extend_from_slice(&(extra as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.resize(out.len() + extra, 0);
        out.extend_from_slice(data);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&fixed);
        directory.extend_from_slice(&[0; 12]);
        directory.extend_from_slice(&local.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    for n in [entries.len() as u16; 2] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out
}

/// Runs one operator on constant f32 inputs; the output has this type and shape.
pub fn run_one<T: Element>(
    op: Op,
    inputs: &[(&[usize], &[f32])],
    dtype: DType,
    shape: &[usize],
) -> Vec<T> {
    let pool = Pool::new(3);
    let mut results: Vec<Vec<T>> = Vec::new();
    for parallel in [None, Some(&pool as &dyn cygnet_runtime::Parallel)] {
        let mut net = Net::new();
        let ids: Vec<TensorId> = inputs
            .iter()
            .map(|(dims, data)| net.floats(dims, data))
            .collect();
        let y = net.fixed(dtype, shape);
        net.step(op, &ids, y);
        let mut program = net.write(&[y]);
        let config = Config {
            parallel,
            ..Config::default()
        };
        results.push(with_session(&mut program, config, |s| {
            s.run().unwrap();
            s.output(0).unwrap().as_slice::<T>().unwrap().to_vec()
        }));
    }
    let threads = results.pop().unwrap();
    let bytes = |v: &[T]| {
        // SAFETY: elements are plain numbers.
        unsafe {
            std::slice::from_raw_parts(v.as_ptr().cast::<u8>(), std::mem::size_of_val(v)).to_vec()
        }
    };
    assert_eq!(
        bytes(&threads),
        bytes(&results[0]),
        "threads do not change results"
    );
    threads
}

pub fn axes(values: &[i32]) -> Axes {
    Axes::new(values).unwrap()
}
