//! Graphs as text, and back: what tests of passes compare and what people read.
//!
//! ```text
//! symbol "width" 32..=960 input
//! expr e0 = symbol 0
//! const %w: f32[2] = 0000803f00000040
//! input %x: f32[1,e0] "image"
//! block b0 () {
//!   %y: f32[1,e0] = unary(%x) kind=relu a=0.0 b=0.0 "Relu relu_1"
//! } -> ()
//! output %y "scores"
//! origin %y "relu_1_output" []
//! ```
//!
//! Constants of more than 64 bytes are written as a hash; [`parse`] takes them from a map.

use super::{Expr, Graph, Node, Origin, Port, State, Symbol, SymbolKind, Type, Value, ValueId};
use crate::bundle::sha256_hex;
use cygnet_format::{Attr, BlockId, DType, Dim, Op, OpCode};
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

/// Longest constant that is written out, in bytes.
const INLINE: usize = 64;

/// Large constants by their hash.
pub type Constants = HashMap<String, Arc<Vec<u8>>>;

fn hash(data: &[u8]) -> String {
    sha256_hex(data)[..24].to_owned()
}

/// The large constants of a graph, for [`parse`].
pub fn constants(graph: &Graph) -> Constants {
    graph
        .values
        .iter()
        .filter_map(|v| v.data.clone())
        .filter(|d| d.len() > INLINE)
        .map(|d| (hash(&d), d))
        .collect()
}

fn data_text(data: &[u8]) -> String {
    if data.len() > INLINE {
        return format!("sha256:{}", hash(data));
    }
    data.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn dim_text(d: Dim) -> String {
    let mut s = String::new();
    let _ = d.write_text(&mut s);
    s
}

struct Names(Vec<String>);

impl Names {
    fn of(graph: &Graph) -> Names {
        let mut count: HashMap<&str, u32> = HashMap::new();
        for v in &graph.values {
            *count.entry(&v.name).or_default() += 1;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
        let name = |(i, v): (usize, &Value)| {
            let fits =
                count[v.name.as_str()] == 1 && !v.name.is_empty() && v.name.chars().all(plain);
            if fits {
                format!("%{}", v.name)
            } else {
                format!("%{i}:")
            }
        };
        Names(graph.values.iter().enumerate().map(name).collect())
    }
    fn get(&self, v: ValueId) -> &str {
        &self.0[v.0 as usize]
    }
    fn list(&self, values: &[Option<ValueId>]) -> String {
        values
            .iter()
            .map(|v| v.map_or("_", |v| self.get(v)))
            .collect::<Vec<_>>()
            .join(", ")
    }
    fn typed(&self, graph: &Graph, v: ValueId) -> String {
        format!("{}: {}", self.get(v), type_text(graph.ty(v)))
    }
}

fn type_text(ty: &Type) -> String {
    let dims: Vec<String> = ty.shape.iter().map(|&d| dim_text(d)).collect();
    format!("{}[{}]", ty.dtype.name(), dims.join(","))
}

fn expr_text(expr: &Expr) -> String {
    let two = |name: &str, a: Dim, b: Dim| format!("{name} {} {}", dim_text(a), dim_text(b));
    match *expr {
        Expr::Symbol(s) => format!("symbol {s}"),
        Expr::Const(v) => format!("const {v}"),
        Expr::Add(a, b) => two("add", a, b),
        Expr::Sub(a, b) => two("sub", a, b),
        Expr::Mul(a, b) => two("mul", a, b),
        Expr::FloorDiv(a, b) => two("floor_div", a, b),
        Expr::CeilDiv(a, b) => two("ceil_div", a, b),
        Expr::Mod(a, b) => two("mod", a, b),
        Expr::Min(a, b) => two("min", a, b),
        Expr::Max(a, b) => two("max", a, b),
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Names::of(self);
        for s in &self.symbols {
            let kind = if s.kind == SymbolKind::Input {
                "input"
            } else {
                "runtime"
            };
            writeln!(f, "symbol {} {}..={} {kind}", quoted(&s.name), s.lo, s.hi)?;
        }
        for (i, e) in self.exprs.iter().enumerate() {
            writeln!(f, "expr e{i} = {}", expr_text(e))?;
        }
        let mut used = vec![false; self.values.len()];
        let read = self.blocks.iter().flat_map(|b| {
            b.nodes
                .iter()
                .flat_map(|n| n.inputs.iter().flatten())
                .chain(&b.outputs)
        });
        let results = self
            .outputs
            .iter()
            .map(|p| &p.value)
            .chain(self.states.iter().map(|s| &s.next));
        read.chain(results).for_each(|v| used[v.0 as usize] = true);
        for (i, value) in self.values.iter().enumerate().filter(|&(i, _)| used[i]) {
            if let Some(data) = &value.data {
                writeln!(
                    f,
                    "const {} = {}",
                    names.typed(self, ValueId(i as u32)),
                    data_text(data)
                )?;
            }
        }
        for p in &self.inputs {
            writeln!(
                f,
                "input {} {}",
                names.typed(self, p.value),
                quoted(&p.name)
            )?;
        }
        for s in &self.states {
            writeln!(
                f,
                "state {} {}",
                names.typed(self, s.current),
                quoted(&s.name)
            )?;
        }
        for (i, block) in self.blocks.iter().enumerate() {
            let inputs: Vec<String> = block.inputs.iter().map(|&v| names.typed(self, v)).collect();
            writeln!(f, "block b{i} ({}) {{", inputs.join(", "))?;
            for node in &block.nodes {
                let outputs: Vec<String> = node
                    .outputs
                    .iter()
                    .map(|v| v.map_or("_".into(), |v| names.typed(self, v)))
                    .collect();
                write!(
                    f,
                    "  {} = {}({}) ",
                    outputs.join(", "),
                    node.op.code().name(),
                    names.list(&node.inputs)
                )?;
                let mut attributes = String::new();
                node.op.write_attributes(&mut attributes)?;
                if !attributes.is_empty() {
                    write!(f, "{attributes} ")?;
                }
                writeln!(f, "{}", quoted(&node.source))?;
            }
            let outputs: Vec<&str> = block.outputs.iter().map(|&v| names.get(v)).collect();
            writeln!(f, "}} -> ({})", outputs.join(", "))?;
        }
        for p in &self.outputs {
            writeln!(f, "output {} {}", names.get(p.value), quoted(&p.name))?;
        }
        for s in &self.states {
            let init = s.init.as_ref().map_or(String::new(), |d| {
                format!(
                    " {}",
                    d.iter().map(|b| format!("{b:02x}")).collect::<String>()
                )
            });
            writeln!(f, "next {} {}{init}", quoted(&s.name), names.get(s.next))?;
        }
        for (k, v) in &self.metadata {
            writeln!(f, "metadata {} {}", quoted(k), quoted(v))?;
        }
        let defined = self.blocks.iter().flat_map(|b| {
            b.nodes
                .iter()
                .flat_map(|n| n.outputs.iter().flatten())
                .chain(&b.inputs)
        });
        let mut shown: Vec<ValueId> = defined
            .chain(self.inputs.iter().map(|p| &p.value))
            .copied()
            .collect();
        shown.sort_unstable();
        for v in shown {
            if let Some(o) = &self.value(v).origin {
                writeln!(
                    f,
                    "origin {} {} {:?}",
                    names.get(v),
                    quoted(&o.name),
                    o.perm
                )?;
            }
        }
        Ok(())
    }
}

/// Where a text is no graph.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

type Parsed<T> = Result<T, String>;

/// Reads what `Display` writes. Blank lines and lines that start with `//` are skipped.
///
/// # Errors
/// The first line that is malformed.
pub fn parse(text: &str, constants: &Constants) -> Result<Graph, TextError> {
    let mut reader = Reader {
        graph: Graph::default(),
        names: HashMap::new(),
        block: None,
        constants,
    };
    reader.graph.blocks.clear();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        reader.line(line).map_err(|reason| TextError {
            line: i + 1,
            reason,
        })?;
    }
    if reader.graph.blocks.is_empty() {
        reader.graph.blocks.push(Default::default());
    }
    Ok(reader.graph)
}

struct Reader<'a> {
    graph: Graph,
    names: HashMap<String, ValueId>,
    block: Option<usize>,
    constants: &'a Constants,
}

fn split<'t>(text: &'t str, at: &str) -> Parsed<(&'t str, &'t str)> {
    let (a, b) = text
        .split_once(at)
        .ok_or_else(|| format!("'{at}' is missing in '{text}'"))?;
    Ok((a.trim(), b.trim()))
}

fn string(text: &str) -> Parsed<String> {
    serde_json::from_str(text.trim()).map_err(|_| format!("'{text}' is no quoted string"))
}

fn number<T: std::str::FromStr>(text: &str) -> Parsed<T> {
    text.trim()
        .parse()
        .map_err(|_| format!("'{text}' is no number"))
}

fn dim(text: &str) -> Parsed<Dim> {
    Dim::parse_text(text.trim()).ok_or_else(|| format!("'{text}' is no dimension"))
}

fn hex(text: &str) -> Parsed<Vec<u8>> {
    let bad = || format!("'{text}' is no hexadecimal data");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(bad());
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).map_err(|_| bad()))
        .collect()
}

/// Splits at commas outside of brackets.
fn commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() || !parts.is_empty() {
        parts.push(last);
    }
    parts
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Parsed<()> {
        if let Some(block) = self.block {
            if let Some(rest) = line.strip_prefix("} ->") {
                let list = rest.trim().trim_start_matches('(').trim_end_matches(')');
                let outputs = commas(list)
                    .into_iter()
                    .map(|v| self.value(v))
                    .collect::<Parsed<_>>()?;
                self.graph.blocks[block].outputs = outputs;
                self.block = None;
                return Ok(());
            }
            let node = self.node(line)?;
            self.graph.blocks[block].nodes.push(node);
            return Ok(());
        }
        let (word, rest) = split(line, " ")?;
        match word {
            "symbol" => {
                let end = rest.rfind('"').ok_or("a name is missing")?;
                let (name, rest) = rest.split_at(end + 1);
                let (range, kind) = split(rest.trim(), " ")?;
                let (lo, hi) = split(range, "..=")?;
                let kind = if kind == "runtime" {
                    SymbolKind::Runtime
                } else {
                    SymbolKind::Input
                };
                self.graph.symbols.push(Symbol {
                    name: string(name)?,
                    lo: number(lo)?,
                    hi: number(hi)?,
                    kind,
                });
            }
            "expr" => {
                let expr = self.expr(split(rest, "=")?.1)?;
                self.graph.exprs.push(expr);
            }
            "const" => {
                let (head, data) = split(rest, " = ")?;
                let v = self.define(head)?;
                let data = match data.strip_prefix("sha256:") {
                    Some(h) => self
                        .constants
                        .get(h)
                        .cloned()
                        .ok_or("the constant's bytes are not given")?,
                    None => Arc::new(hex(data)?),
                };
                self.graph.value_mut(v).data = Some(data);
            }
            "input" | "state" => {
                let (head, name) = rest.split_once(" \"").ok_or("a name is missing")?;
                let (value, name) = (self.define(head)?, string(&format!("\"{name}"))?);
                if word == "input" {
                    self.graph.inputs.push(Port { name, value });
                } else {
                    let declared = self.graph.ty(value).clone();
                    self.graph.states.push(State {
                        declared,
                        name,
                        current: value,
                        next: value,
                        init: None,
                    });
                }
            }
            "block" => {
                let list = split(rest, "(")?
                    .1
                    .trim_end_matches('{')
                    .trim()
                    .trim_end_matches(')');
                let inputs = commas(list)
                    .into_iter()
                    .map(|v| self.define(v))
                    .collect::<Parsed<_>>()?;
                self.graph.blocks.push(super::Block {
                    inputs,
                    ..Default::default()
                });
                self.block = Some(self.graph.blocks.len() - 1);
            }
            "output" => {
                let (v, name) = split(rest, " ")?;
                let port = Port {
                    name: string(name)?,
                    value: self.value(v)?,
                };
                self.graph.outputs.push(port);
            }
            "next" => {
                let end = rest.rfind('"').ok_or("a name is missing")?;
                let (name, rest) = rest.split_at(end + 1);
                let name = string(name)?;
                let mut words = rest.split_whitespace();
                let next = self.value(words.next().ok_or("a value is missing")?)?;
                let init = words.next().map(hex).transpose()?.map(Arc::new);
                let state = self
                    .graph
                    .states
                    .iter_mut()
                    .find(|s| s.name == name)
                    .ok_or("no such state")?;
                (state.next, state.init) = (next, init);
            }
            "metadata" => {
                let mut pair = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let mut next = || {
                    pair.next()
                        .and_then(Result::ok)
                        .ok_or("a string is missing")
                };
                let (key, value) = (next()?, next()?);
                self.graph.metadata.push((key, value));
            }
            "origin" => {
                let (v, rest) = split(rest, " ")?;
                let end = rest.rfind('"').ok_or("a name is missing")?;
                let (name, perm) = rest.split_at(end + 1);
                let perm = perm.trim().trim_start_matches('[').trim_end_matches(']');
                let perm = commas(perm)
                    .into_iter()
                    .map(number)
                    .collect::<Parsed<_>>()?;
                let v = self.value(v)?;
                self.graph.value_mut(v).origin = Some(Origin {
                    name: string(name)?,
                    perm,
                });
            }
            _ => return Err(format!("'{word}' begins no line of a graph")),
        }
        Ok(())
    }

    fn value(&self, name: &str) -> Parsed<ValueId> {
        self.names
            .get(name.trim())
            .copied()
            .ok_or_else(|| format!("the value '{}' is not defined before", name.trim()))
    }

    fn optional(&self, name: &str) -> Parsed<Option<ValueId>> {
        if name == "_" {
            Ok(None)
        } else {
            self.value(name).map(Some)
        }
    }

    /// Defines `%name: type`.
    fn define(&mut self, text: &str) -> Parsed<ValueId> {
        let (name, ty) = split(text, ": ")?;
        let (dtype, dims) = split(ty, "[")?;
        let dims = dims.strip_suffix(']').ok_or("']' is missing")?;
        let dtype =
            DType::from_name(dtype).ok_or_else(|| format!("'{dtype}' is no element type"))?;
        let shape = commas(dims)
            .into_iter()
            .map(dim)
            .collect::<Parsed<Vec<_>>>()?;
        if shape.len() > cygnet_format::MAX_RANK {
            return Err("too many dimensions".into());
        }
        let plain = name.strip_prefix('%').ok_or("values begin with '%'")?;
        let v = self.graph.add_value(plain, Type::new(dtype, &shape));
        if self.names.insert(name.to_owned(), v).is_some() {
            return Err(format!("the value '{name}' is defined twice"));
        }
        Ok(v)
    }

    fn expr(&self, text: &str) -> Parsed<Expr> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let two = |f: fn(Dim, Dim) -> Expr| match words[..] {
            [_, a, b] => Ok(f(dim(a)?, dim(b)?)),
            _ => Err(format!("'{text}' has not two operands")),
        };
        let last = words.last().copied().unwrap_or_default();
        match words.first().copied() {
            Some("symbol") => Ok(Expr::Symbol(number(last)?)),
            Some("const") => Ok(Expr::Const(number(last)?)),
            Some("add") => two(Expr::Add),
            Some("sub") => two(Expr::Sub),
            Some("mul") => two(Expr::Mul),
            Some("floor_div") => two(Expr::FloorDiv),
            Some("ceil_div") => two(Expr::CeilDiv),
            Some("mod") => two(Expr::Mod),
            Some("min") => two(Expr::Min),
            Some("max") => two(Expr::Max),
            _ => Err(format!("'{text}' is no expression")),
        }
    }

    fn node(&mut self, line: &str) -> Parsed<Node> {
        let (outputs, rest) = split(line, " = ")?;
        let (name, rest) = split(rest, "(")?;
        let (inputs, rest) = split(rest, ")")?;
        let code = OpCode::from_name(name).ok_or_else(|| format!("'{name}' is no operator"))?;
        let (attributes, source) = match rest.find('"') {
            Some(at) => (&rest[..at], string(&rest[at..])?),
            None => (rest, String::new()),
        };
        let op = Op::parse_attributes(code, attributes)
            .ok_or_else(|| format!("malformed attributes '{attributes}'"))?;
        let inputs = commas(inputs)
            .into_iter()
            .map(|v| self.optional(v))
            .collect::<Parsed<_>>()?;
        let mut made = Vec::new();
        for v in commas(outputs) {
            made.push(if v == "_" {
                None
            } else {
                Some(self.define(v)?)
            });
        }
        Ok(Node {
            op,
            inputs,
            outputs: made,
            source,
        })
    }
}

/// Operators of a block with how often they occur, in order of the operator table.
pub fn histogram(graph: &Graph) -> Vec<(&'static str, usize)> {
    let mut count: HashMap<OpCode, usize> = HashMap::new();
    let all = (0..graph.blocks.len()).map(|i| BlockId(i as u32));
    for node in all.flat_map(|b| &graph.blocks[b.0 as usize].nodes) {
        *count.entry(node.op.code()).or_default() += 1;
    }
    OpCode::ALL
        .iter()
        .filter_map(|c| Some((c.name(), *count.get(c)?)))
        .collect()
}
