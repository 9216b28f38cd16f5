//! What settings are chosen from.
use crate::random::Random;
use toml::{Table, Value};

/// A setting that a search varies.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its place in `cygnet.toml`, such as `model.width`.
    pub path: String,
    /// What it is chosen from.
    pub range: Range,
}

/// What a setting is chosen from. A coordinate is a number that stands for a value: the value itself, its logarithm, or its
/// place in the list.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// One of a list, in no order.
    Choices(Vec<Value>),
    /// A number between two, both included.
    Number {
        /// The least,
        low: f64,
        /// the greatest.
        high: f64,
        /// Whether its logarithm is spread evenly.
        log: bool,
        /// The distance of two neighbours, from the least on; 0 is any.
        step: f64,
        /// Whether it is whole.
        whole: bool,
    },
}

/// Reals are rounded to so many digits behind the first.
const DIGITS: usize = 3;

impl Parameter {
    /// Reads `[a, b, c]` or `{ low = 1, high = 8, log = true, step = 1 }`; numbers are whole where both bounds are.
    pub(super) fn read(path: &str, value: &Value) -> Result<Self, String> {
        let range = match value {
            Value::Array(list) if list.is_empty() => return Err("has no choices".into()),
            Value::Array(list) => {
                if let Some(twice) = (1..list.len()).find(|&i| list[..i].contains(&list[i])) {
                    return Err(format!("has {} twice", list[twice]));
                }
                Range::Choices(list.clone())
            }
            Value::Table(table) => Range::between(table)?,
            other => {
                return Err(format!(
                    "= {other}: it is a list of choices, or {{ low = ..., high = ... }}"
                ));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            range,
        })
    }
}

impl Range {
    fn between(table: &Table) -> Result<Self, String> {
        let known = ["low", "high", "log", "step"];
        if let Some(other) = table.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(format!(
                "has no {other}: a range has low, high, and perhaps log = true or step"
            ));
        }
        let number = |name: &str| match table.get(name) {
            Some(Value::Integer(v)) => Ok(Some((*v as f64, true))),
            Some(Value::Float(v)) if v.is_finite() => Ok(Some((*v, false))),
            Some(other) => Err(format!("{name} = {other}: it is a number")),
            None => Ok(None),
        };
        let (Some((low, a)), Some((high, b))) = (number("low")?, number("high")?) else {
            return Err("has no low or no high".into());
        };
        let whole = a && b;
        let step = match number("step")? {
            None => 0.0,
            Some((step, is_whole)) if step > 0.0 && (is_whole || !whole) => step,
            Some((step, _)) => {
                return Err(format!(
                    "step = {step}: it is positive, and whole where low and high are"
                ));
            }
        };
        let log = match table.get("log") {
            None => false,
            Some(Value::Boolean(log)) => *log,
            Some(other) => return Err(format!("log = {other}: it is true or false")),
        };
        if low >= high {
            return Err(format!("low = {low}, high = {high}: low is below high"));
        }
        if log && low <= 0.0 {
            return Err(format!("low = {low}: with log = true it is above 0"));
        }
        Ok(Self::Number {
            low,
            high,
            log,
            step,
            whole,
        })
    }

    /// Bounds of the coordinates; those of whole numbers are half a number wider, so that each is as likely.
    pub(super) fn bounds(&self) -> (f64, f64) {
        match self {
            Self::Choices(list) => (0.0, (list.len() - 1) as f64),
            Self::Number {
                low,
                high,
                log,
                step,
                whole,
            } => {
                let mut room = if *whole { step.max(1.0) } else { *step } / 2.0;
                if *log {
                    room = room.min(low / 2.0);
                }
                let of = |v: f64| if *log { v.ln() } else { v };
                (of(low - room), of(high + room))
            }
        }
    }

    /// The value of a coordinate.
    pub fn value(&self, at: f64) -> Value {
        match self {
            Self::Choices(list) => list[(at.round().max(0.0) as usize).min(list.len() - 1)].clone(),
            Self::Number {
                low,
                high,
                log,
                step,
                whole,
            } => {
                let step = if *whole { step.max(1.0) } else { *step };
                let mut v = if *log { at.exp() } else { at };
                if step > 0.0 {
                    let steps = ((v - low) / step)
                        .round()
                        .clamp(0.0, ((high - low) / step).floor());
                    v = low + steps * step;
                }
                let v = v.clamp(*low, *high);
                if *whole {
                    return Value::Integer(v.round() as i64);
                }
                let digits = if step > 0.0 { 2 * DIGITS } else { DIGITS };
                let short = format!("{v:.digits$e}").parse().unwrap_or(v);
                Value::Float(short.clamp(*low, *high))
            }
        }
    }

    /// The coordinate of a value; `None` of one that is not in the range.
    pub fn coordinate(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Choices(list) => list.iter().position(|v| v == value).map(|i| i as f64),
            Self::Number { low, high, log, .. } => {
                let v = match value {
                    Value::Integer(v) => *v as f64,
                    Value::Float(v) => *v,
                    _ => return None,
                };
                (*low..=*high)
                    .contains(&v)
                    .then(|| if *log { v.ln() } else { v })
            }
        }
    }

    /// A coordinate, all being as likely.
    pub(super) fn draw(&self, random: &mut Random) -> f64 {
        match self {
            Self::Choices(list) => random.below(list.len()) as f64,
            Self::Number { .. } => {
                let (low, high) = self.bounds();
                low + (high - low) * f64::from(random.uniform())
            }
        }
    }

    /// Values that a project is tried with before anything is trained: the ends of a range, every choice.
    pub fn extremes(&self) -> Vec<Value> {
        match self {
            Self::Choices(list) => list.clone(),
            Self::Number { .. } => {
                let (low, high) = self.bounds();
                vec![self.value(low), self.value(high)]
            }
        }
    }
}

/// Gives a setting a value; tables on the way are made.
///
/// # Errors
/// A path that leads through something that is no table.
pub fn set(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let mut at = table;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = next
            .as_table_mut()
            .ok_or_else(|| format!("{path}: {part} is no section"))?;
    }
    Err("a path has no name".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<Range, String> {
        let table: Table = text.parse().unwrap();
        Parameter::read("p", &table["p"]).map(|p| p.range)
    }

    #[test]
    fn values_lie_where_they_are_allowed() {
        let mut random = Random::new(3, 0);
        for (text, least, most) in [
            ("p = { low = 0.25, high = 1.0, step = 0.25 }", 0.25, 1.0),
            ("p = { low = 1, high = 3 }", 1.0, 3.0),
            ("p = { low = 1, high = 64, log = true }", 1.0, 64.0),
            ("p = { low = 8, high = 31, step = 8 }", 8.0, 24.0),
            ("p = { low = 1e-4, high = 1e-2, log = true }", 1e-4, 1e-2),
        ] {
            let range = range(text).unwrap();
            let mut seen = Vec::new();
            for _ in 0..500 {
                let at = range.draw(&mut random);
                let value = range.value(at);
                let number = value
                    .as_float()
                    .or(value.as_integer().map(|v| v as f64))
                    .unwrap();
                assert!((least..=most).contains(&number), "{text}: {number}");
                // What stands for a value stands for it again.
                assert_eq!(range.value(range.coordinate(&value).unwrap()), value);
                seen.push(number);
            }
            let (low, high) = (
                seen.iter().cloned().fold(f64::MAX, f64::min),
                seen.iter().cloned().fold(0.0, f64::max),
            );
            assert!(
                low < least * 1.2 && high > most * 0.85,
                "{text}: {low} to {high}"
            );
        }
    }

    #[test]
    fn each_whole_number_is_as_likely() {
        let range = range("p = { low = 1, high = 4 }").unwrap();
        let mut random = Random::new(1, 0);
        let mut counts = [0; 5];
        for _ in 0..4000 {
            counts[range.value(range.draw(&mut random)).as_integer().unwrap() as usize] += 1;
        }
        assert!(
            counts[1..].iter().all(|c| (900..1100).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_wrong_range_says_why() {
        for (text, said) in [
            ("p = []", "no choices"),
            ("p = [1, 2, 1]", "has 1 twice"),
            ("p = 3", "list of choices"),
            ("p = { low = 1 }", "no high"),
            ("p = { low = 0.0, high = 1.0, log = true }", "above 0"),
            ("p = { low = 1, high = 4, step = 0.5 }", "whole"),
            ("p = { low = 1, high = 4, steps = 2 }", "has no steps"),
            ("p = { low = 4, high = 4 }", "below high"),
        ] {
            let found = range(text).unwrap_err();
            assert!(found.contains(said), "{text}: {found}");
        }
    }

    #[test]
    fn settings_are_set_by_their_path() {
        let mut table: Table = "name = 'a'\n[model]\nwidth = 1.0\n".parse().unwrap();
        set(&mut table, "model.width", Value::Float(0.5)).unwrap();
        set(&mut table, "train.augment.shift", Value::Float(0.1)).unwrap();
        assert_eq!(table["model"]["width"].as_float(), Some(0.5));
        assert_eq!(table["train"]["augment"]["shift"].as_float(), Some(0.1));
        assert!(set(&mut table, "name.x", Value::Integer(1)).is_err());
    }
}
