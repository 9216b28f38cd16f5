//! One validation pass. Work is linear in the file's size without the constants, which are not read; records that own
//! ranges of a pool must follow each other without gaps, so no byte is visited twice.

use super::{layout::*, *};
use ParseErrorKind as Kind;

type Checked<T = ()> = Result<T, ParseError>;

/// Largest arena that a program may ask for.
const MAX_ARENA: u64 = 1 << 46;

fn fail<T>(kind: Kind, index: usize) -> Checked<T> {
    Err(ParseError::new(kind, index))
}

fn ensure(ok: bool, kind: Kind, index: usize) -> Checked {
    if ok { Ok(()) } else { fail(kind, index) }
}

/// Checks that ranges of a pool follow each other.
struct Sequence {
    next: u32,
}

impl Sequence {
    fn take(&mut self, first: u32, len: u32, index: usize) -> Checked {
        ensure(first == self.next, Kind::Order, index)?;
        match self.next.checked_add(len) {
            Some(next) => self.next = next,
            None => return fail(Kind::Order, index),
        }
        Ok(())
    }
    fn finish(&self, count: usize) -> Checked {
        ensure(self.next as usize == count, Kind::Order, count)
    }
}

impl<'a> Program<'a> {
    /// Validates `bytes` and gives access to the program. Constant data is not read. `bytes` may be longer than the
    /// program by at most 63 bytes, which are ignored.
    pub fn parse(bytes: &'a [u8]) -> Result<Program<'a>, ParseError> {
        let program = Self::sections(bytes)?;
        program.check_texts()?;
        program.check_symbols()?;
        program.check_exprs()?;
        program.check_tensors()?;
        program.check_io()?;
        program.check_states()?;
        program.check_blocks()?;
        Ok(program)
    }

    fn sections(bytes: &'a [u8]) -> Checked<Program<'a>> {
        ensure(bytes.len() >= MAGIC.len(), Kind::Truncated, 0)?;
        ensure(bytes.starts_with(&MAGIC), Kind::Magic, 0)?;
        ensure(bytes.len() >= TABLE_END, Kind::Truncated, 0)?;
        ensure(u32_at(bytes, 8) == VERSION, Kind::Version, 0)?;
        ensure(u32_at(bytes, 12) as usize == SECTIONS, Kind::Header, 1)?;
        let file = u64_at(bytes, 16);
        ensure(file <= bytes.len() as u64, Kind::Truncated, 0)?;
        ensure(bytes.len() as u64 - file < ALIGN, Kind::Header, 2)?;
        let (arena, state) = (u64_at(bytes, 24), u64_at(bytes, 32));
        ensure(arena <= MAX_ARENA && arena % ALIGN == 0, Kind::Header, 3)?;
        ensure(state <= arena && state % ALIGN == 0, Kind::Header, 4)?;
        ensure(u32_at(bytes, 40) == WEIGHT_LAYOUT, Kind::Version, 1)?;
        ensure(
            bytes[44..HEADER_BYTES].iter().all(|&b| b == 0),
            Kind::Header,
            5,
        )?;
        let file = file as usize;
        let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
        let mut end = TABLE_END;
        for (i, section) in sections.iter_mut().enumerate() {
            let entry = &bytes[HEADER_BYTES + i * SECTION_ENTRY_BYTES..][..SECTION_ENTRY_BYTES];
            ensure(
                u32_at(entry, 0) as usize == i + 1 && u32_at(entry, 4) == 0,
                Kind::Section,
                i,
            )?;
            let (first, len) = (u64_at(entry, 8), u64_at(entry, 16));
            ensure(
                first % ALIGN == 0 && first >= end as u64 && first <= file as u64,
                Kind::Section,
                i,
            )?;
            ensure(len <= file as u64 - first, Kind::Section, i)?;
            let (first, len) = (first as usize, len as usize);
            ensure(len % Section::record_bytes(i) == 0, Kind::Section, i)?;
            ensure(
                len / Section::record_bytes(i) < i32::MAX as usize
                    || i == Section::Constants as usize,
                Kind::Section,
                i,
            )?;
            end = first + len;
            *section = &bytes[first..end];
        }
        let strings = match core::str::from_utf8(sections[Section::Strings as usize]) {
            Ok(s) => s,
            Err(_) => return fail(Kind::Text, 0),
        };
        Ok(Program {
            strings,
            sections,
            arena,
            state,
        })
    }

    fn check_text(&self, record: &[u8], at: usize, index: usize) -> Checked {
        let (first, len) = (u32_at(record, at) as usize, u32_at(record, at + 4) as usize);
        let end = first.checked_add(len);
        ensure(
            end.is_some_and(|end| self.strings.get(first..end).is_some()),
            Kind::Text,
            index,
        )
    }

    fn check_texts(&self) -> Checked {
        let tables: [(Section, &[usize]); 4] = [
            (Section::Symbols, &[0]),
            (Section::Tensors, &[0]),
            (Section::Steps, &[20]),
            (Section::Metadata, &[0, 8]),
        ];
        for (section, fields) in tables {
            for i in 0..self.count(section) {
                for &at in fields {
                    self.check_text(self.record(section, i), at, i)?;
                }
            }
        }
        Ok(())
    }

    fn check_symbols(&self) -> Checked {
        for i in 0..self.symbols() {
            let r = self.record(Section::Symbols, i);
            let s = self.symbol(i as u32);
            ensure(u32_at(r, 8) <= 1 && u32_at(r, 12) == 0, Kind::Symbol, i)?;
            ensure(
                s.lo >= 0 && s.lo <= s.hi && s.hi <= i32::MAX as i64,
                Kind::Symbol,
                i,
            )?;
        }
        Ok(())
    }

    fn check_exprs(&self) -> Checked {
        let mut sequence = Sequence { next: 0 };
        let ops = self.section(Section::ExprOps);
        for i in 0..self.exprs() {
            let r = self.record(Section::Exprs, i);
            let (first, len) = (u32_at(r, 0), u32_at(r, 4));
            sequence.take(first, len, i)?;
            ensure(
                sequence.next as usize <= ops.len() / EXPR_OP_BYTES,
                Kind::Expression,
                i,
            )?;
            let mut depth = 0usize;
            for j in first..sequence.next {
                let r = self.record(Section::ExprOps, j as usize);
                match ExprOp::from_parts(u32_at(r, 0), u32_at(r, 4), u64_at(r, 8) as i64) {
                    Some(ExprOp::Const(_)) => depth += 1,
                    Some(ExprOp::Symbol(s)) => {
                        ensure((s as usize) < self.symbols(), Kind::Expression, i)?;
                        depth += 1;
                    }
                    Some(_) => {
                        ensure(depth >= 2, Kind::Expression, i)?;
                        depth -= 1;
                    }
                    None => return fail(Kind::Expression, i),
                }
                ensure(depth <= expr::MAX_EXPR_STACK, Kind::Expression, i)?;
            }
            ensure(depth == 1, Kind::Expression, i)?;
        }
        sequence.finish(ops.len() / EXPR_OP_BYTES)
    }

    fn check_tensors(&self) -> Checked {
        let mut sequence = Sequence { next: 0 };
        let constants = self.constants().len() as u64;
        for i in 0..self.tensors() {
            let r = self.record(Section::Tensors, i);
            ensure(DType::from_code(r[8]).is_some(), Kind::TensorType, i)?;
            ensure(r[9] as usize <= MAX_RANK, Kind::TensorRank, i)?;
            sequence.take(u32_at(r, 12), r[9] as u32, i)?;
            ensure(
                sequence.next as usize <= self.count(Section::Dims),
                Kind::Order,
                i,
            )?;
            ensure(r[10] <= PLACE_STATE && r[11] == 0, Kind::TensorPlace, i)?;
            let t = self.tensor(TensorId(i as u32));
            let mut size = Some(t.dtype.size() as u64);
            let (mut fixed, mut empty) = (true, false);
            for d in t.dims.iter() {
                match d.as_const() {
                    Some(n) => {
                        empty |= n == 0;
                        size = size.and_then(|s| s.checked_mul(n.max(1) as u64));
                    }
                    None => {
                        let known = d.as_expr().is_some_and(|e| (e as usize) < self.exprs());
                        ensure(known, Kind::TensorDim, i)?;
                        fixed = false;
                    }
                }
            }
            let Some(size) = size.filter(|&s| s <= MAX_ARENA) else {
                return fail(Kind::TensorSize, i);
            };
            let size = if empty { 0 } else { size };
            ensure(!fixed || size <= t.bytes_bound, Kind::TensorSize, i)?;
            let (offset, limit, low) = match t.place {
                Place::Const(o) => {
                    ensure(fixed && size == t.bytes_bound, Kind::TensorSize, i)?;
                    (o, constants, 0)
                }
                Place::Arena(o) => (o, self.arena, self.state),
                Place::State(o) => (o, self.state, 0),
            };
            ensure(offset % ALIGN == 0 && offset >= low, Kind::TensorPlace, i)?;
            ensure(
                offset
                    .checked_add(t.bytes_bound)
                    .is_some_and(|end| end <= limit),
                Kind::TensorPlace,
                i,
            )?;
        }
        sequence.finish(self.count(Section::Dims))
    }

    fn id(&self, id: Option<TensorId>, kind: Kind, index: usize) -> Checked<TensorInfo<'a>> {
        match id.and_then(|id| self.tensor_checked(id)) {
            Some(t) => Ok(t),
            None => fail(kind, index),
        }
    }

    fn check_io(&self) -> Checked {
        for (i, id) in self.inputs().iter().enumerate() {
            let t = self.id(id, Kind::Io, i)?;
            ensure(matches!(t.place, Place::Arena(_)), Kind::Io, i)?;
        }
        for (i, id) in self.outputs().iter().enumerate() {
            self.id(id, Kind::Io, i)?;
        }
        Ok(())
    }

    fn check_states(&self) -> Checked {
        for i in 0..self.states() {
            let r = self.record(Section::States, i);
            let (id, next) = (TensorId(u32_at(r, 0)), TensorId(u32_at(r, 4)));
            let tensor = self.id(Some(id), Kind::State, i)?;
            let next = self.id(Some(next), Kind::State, i)?;
            let Place::State(offset) = tensor.place else {
                return fail(Kind::State, i);
            };
            ensure(
                next.dtype == tensor.dtype && next.dims.len() == tensor.dims.len(),
                Kind::State,
                i,
            )?;
            // A next value inside the state bytes would be overwritten by another state's copy, unless it is its own.
            if let Place::State(o) = next.place {
                ensure(o == offset, Kind::State, i)?;
            }
            let (first, len) = (u64_at(r, 8), u64_at(r, 16));
            ensure(len <= tensor.bytes_bound, Kind::State, i)?;
            let end = first.checked_add(len);
            ensure(
                end.is_some_and(|end| end <= self.constants().len() as u64),
                Kind::State,
                i,
            )?;
        }
        Ok(())
    }

    fn check_blocks(&self) -> Checked {
        let blocks = self.blocks();
        ensure(blocks >= 1, Kind::Block, 0)?;
        let mut ids = Sequence { next: 0 };
        let mut steps = Sequence { next: 0 };
        let ids_count = self.count(Section::Ids);
        for b in 0..blocks {
            let r = self.record(Section::Blocks, b);
            let (parent, depth) = (u32_at(r, 0), u32_at(r, 4));
            if b == 0 {
                ensure(parent == 0 && depth == 0, Kind::Block, b)?;
                ensure(u32_at(r, 12) == 0 && u32_at(r, 20) == 0, Kind::Block, b)?;
            } else {
                ensure(
                    (parent as usize) < b && depth <= MAX_BLOCK_DEPTH,
                    Kind::Block,
                    b,
                )?;
                let above = u32_at(self.record(Section::Blocks, parent as usize), 4);
                ensure(depth == above + 1, Kind::Block, b)?;
            }
            ids.take(u32_at(r, 8), u32_at(r, 12), b)?;
            ids.take(u32_at(r, 16), u32_at(r, 20), b)?;
            steps.take(u32_at(r, 24), u32_at(r, 28), b)?;
            ensure(ids.next as usize <= ids_count, Kind::Block, b)?;
            ensure(steps.next as usize <= self.steps(), Kind::Block, b)?;
            let block = self.block(BlockId(b as u32));
            for id in block.inputs.iter() {
                ensure(
                    self.id(id, Kind::Block, b)?.arena_offset().is_some(),
                    Kind::Block,
                    b,
                )?;
            }
            for id in block.outputs.iter() {
                self.id(id, Kind::Block, b)?;
            }
        }
        steps.finish(self.steps())?;
        let mut attributes = Sequence { next: 0 };
        for b in 0..blocks {
            let block = self.block(BlockId(b as u32));
            for s in block.first_step..block.first_step + block.steps {
                let r = self.record(Section::Steps, s as usize);
                let at = s as usize;
                ids.take(u32_at(r, 8), u16_at(r, 4) as u32 + u16_at(r, 6) as u32, at)?;
                ensure(ids.next as usize <= ids_count, Kind::Operands, at)?;
                attributes.take(u32_at(r, 12), u32_at(r, 16), at)?;
                ensure(
                    attributes.next as usize <= self.count(Section::Attributes),
                    Kind::Attributes,
                    at,
                )?;
                ensure(OpCode::from_code(u16_at(r, 0)).is_some(), Kind::Opcode, at)?;
                ensure(u16_at(r, 2) == 0 && u32_at(r, 28) == 0, Kind::Operands, at)?;
                self.check_step(b as u32, s)?;
            }
        }
        ids.finish(ids_count)?;
        attributes.finish(self.count(Section::Attributes))
    }

    fn check_step(&self, block: u32, index: u32) -> Checked {
        let at = index as usize;
        let Some(step) = self.step(index) else {
            return fail(Kind::Opcode, at);
        };
        let Some(op) = step.op() else {
            return fail(Kind::Attributes, at);
        };
        self.check_attributes(&op, at)?;
        let arity = step.code.arity();
        let (inputs, outputs) = (step.inputs.len(), step.outputs.len());
        ensure(
            (arity.required_inputs..=arity.max_inputs).contains(&inputs),
            Kind::Operands,
            at,
        )?;
        ensure(
            (arity.required_outputs..=arity.max_outputs).contains(&outputs),
            Kind::Operands,
            at,
        )?;
        ensure(outputs <= MAX_STEP_OUTPUTS, Kind::Operands, at)?;
        for (i, id) in step.inputs.iter().enumerate() {
            match id {
                None => ensure(i >= arity.required_inputs, Kind::Operands, at)?,
                Some(_) => drop(self.id(id, Kind::Id, at)?),
            }
        }
        for (i, id) in step.outputs.iter().enumerate() {
            let Some(id) = id else {
                ensure(i >= arity.required_outputs, Kind::Operands, at)?;
                continue;
            };
            let y = self.id(Some(id), Kind::Id, at)?;
            let Some(offset) = y.arena_offset() else {
                return fail(Kind::ConstantWrite, at);
            };
            // Empty regions lie on nothing; the place checks keep these sums from overflowing.
            let overlaps = |t: &TensorInfo<'_>| {
                let both = t.bytes_bound > 0 && y.bytes_bound > 0;
                both && t
                    .arena_offset()
                    .is_some_and(|o| o < offset + y.bytes_bound && offset < o + t.bytes_bound)
            };
            for other in step.outputs.iter().take(i).flatten() {
                ensure(
                    !overlaps(&self.id(Some(other), Kind::Id, at)?),
                    Kind::Overlap,
                    at,
                )?;
            }
            let allowed = op.in_place_inputs(i);
            let mut in_place = false;
            for (j, input) in step.inputs.iter().enumerate() {
                let Some(input) = input else { continue };
                let x = self.id(Some(input), Kind::Id, at)?;
                if overlaps(&x) {
                    let exact = x.arena_offset() == Some(offset) && x.dtype == y.dtype;
                    ensure(
                        exact && j < 32 && allowed >> j & 1 == 1 && !in_place,
                        Kind::Overlap,
                        at,
                    )?;
                    in_place = true;
                }
            }
        }
        self.check_body(&op, &step, block, at)
    }

    /// Dimensions among the attributes refer to expressions.
    fn check_attributes(&self, op: &Op, at: usize) -> Checked {
        let dims: &[Dim] = match op {
            Op::Slice(op) => &op.starts,
            Op::Pad(op) => &op.before,
            Op::DimValues(op) => &op.values,
            _ => &[],
        };
        for e in dims.iter().filter_map(|d| d.as_expr()) {
            ensure((e as usize) < self.exprs(), Kind::Attributes, at)?;
        }
        Ok(())
    }

    fn check_body(&self, op: &Op, step: &StepInfo<'_>, block: u32, at: usize) -> Checked {
        let body = |id: BlockId, inputs: usize, outputs: usize| -> Checked {
            let r = self.record(Section::Blocks, id.0 as usize);
            // A body has the step's block as parent, and parents have smaller ids: no recursion.
            ensure(
                !r.is_empty() && id.0 > block && u32_at(r, 0) == block,
                Kind::Body,
                at,
            )?;
            let b = self.block(id);
            ensure(
                b.inputs.len() == inputs && b.outputs.len() == outputs,
                Kind::Body,
                at,
            )
        };
        let (inputs, outputs) = (step.inputs.len(), step.outputs.len());
        match op {
            Op::If(op) => {
                body(op.then_block, 0, outputs)?;
                body(op.else_block, 0, outputs)
            }
            Op::Loop(op) => {
                let carried = op.carried as usize;
                ensure(
                    carried <= outputs && inputs == carried.saturating_add(2),
                    Kind::Body,
                    at,
                )?;
                for i in 2..inputs {
                    ensure(step.inputs.get(i).is_some(), Kind::Body, at)?;
                }
                body(op.body, inputs, outputs + 1)
            }
            Op::Scan(op) => {
                let states = op.states as usize;
                let lists = [
                    op.input_axes.len(),
                    op.input_reverse.len(),
                    op.output_axes.len(),
                    op.output_reverse.len(),
                ];
                let scanned = inputs.checked_sub(states);
                let stacked = outputs.checked_sub(states);
                let (Some(scanned), Some(stacked)) = (scanned, stacked) else {
                    return fail(Kind::Body, at);
                };
                ensure(
                    lists == [scanned, scanned, stacked, stacked],
                    Kind::Body,
                    at,
                )?;
                for i in 0..inputs {
                    ensure(step.inputs.get(i).is_some(), Kind::Body, at)?;
                }
                body(op.body, inputs, outputs)
            }
            _ => Ok(()),
        }
    }
}
