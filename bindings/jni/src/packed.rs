//! Structures in one block of bytes, so that each crosses the border in one call. `Packed.kt` reads them.

use cygnet_sdk::pipeline::Record;
use cygnet_sdk::{Answer, Model, Port, StepTime};

/// Numbers little-endian; text as its number of bytes, then UTF-8; lists as their length, then the elements.
#[derive(Default)]
pub struct Packed(pub Vec<u8>);

impl Packed {
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    /// A length or position. Java's reach to 2^31 - 1.
    fn size(&mut self, v: usize) {
        self.u32(v.min(i32::MAX as usize) as u32);
    }

    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }

    fn f32(&mut self, v: f32) {
        self.u32(v.to_bits());
    }

    fn text(&mut self, v: &str) {
        self.size(v.len());
        self.0.extend_from_slice(v.as_bytes());
    }

    fn ports(&mut self, ports: &[Port]) {
        self.size(ports.len());
        for port in ports {
            self.text(&port.name);
            self.text(port.dtype.name());
            self.size(port.axes.len());
            for axis in &port.axes {
                self.size(axis.least);
                self.size(axis.most);
            }
        }
    }

    /// What a model is: inputs, outputs, labels, bytes of a session, what goes in and what comes out.
    pub fn model(model: &Model) -> Packed {
        let mut p = Packed::default();
        p.ports(model.inputs());
        p.ports(model.outputs());
        p.size(model.labels().len());
        for label in model.labels() {
            p.text(label);
        }
        p.u64(model.arena_bytes());
        // Kind (1 picture, 2 sound, 3 text, 16 answer) and what is known of it: samples a second, or the answer's name.
        p.size(model.pipeline().len());
        for record in model.pipeline() {
            let (kind, port, rate, name) = match record {
                Record::Picture(i, _) => (1, *i, 0, ""),
                Record::Sound(i, s) => (2, *i, s.rate, ""),
                Record::Text(i, _) => (3, *i, 0, ""),
                Record::Answer(i, decode) => (16, *i, 0, decode.name()),
                _ => (0, 0, 0, ""),
            };
            p.u32(kind);
            p.u32(port);
            p.u32(rate);
            p.text(name);
        }
        p
    }

    /// An answer. Labels are not repeated: Java has them from the model.
    pub fn answer(answer: &Answer) -> Packed {
        let mut p = Packed::default();
        match answer {
            Answer::Classes(classes) => {
                p.u32(1);
                p.size(classes.len());
                for class in classes {
                    p.size(class.index);
                    p.f32(class.score);
                }
            }
            Answer::Text(text) => {
                p.u32(2);
                p.f32(text.confidence);
                p.text(&text.text);
            }
            Answer::Boxes(boxes) => {
                p.u32(3);
                p.size(boxes.len());
                for b in boxes {
                    p.size(b.class.index);
                    for v in [b.class.score, b.x0, b.y0, b.x1, b.y1] {
                        p.f32(v);
                    }
                }
            }
            Answer::Mask(mask) => {
                p.u32(4);
                p.size(mask.width);
                p.size(mask.height);
                for class in &mask.classes {
                    p.0.extend_from_slice(&class.to_le_bytes());
                }
            }
            Answer::Embedding(values) => {
                p.u32(5);
                p.size(values.len());
                for &v in values {
                    p.f32(v);
                }
            }
            _ => p.u32(0),
        }
        p
    }

    /// The time of each step of a run.
    pub fn times(times: &[StepTime]) -> Packed {
        let mut p = Packed::default();
        p.size(times.len());
        for step in times {
            p.text(&step.name);
            p.text(step.operator);
            p.u64(u64::try_from(step.time.as_nanos()).unwrap_or(u64::MAX));
        }
        p
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_sdk::{Class, Text};

    #[test]
    fn answers_are_laid_out_as_java_reads_them() {
        let classes = Answer::Classes(vec![Class {
            index: 7,
            label: "seven".into(),
            score: 0.5,
        }]);
        let want = [1, 1, 7, 0.5f32.to_bits()].map(u32::to_le_bytes).concat();
        assert_eq!(Packed::answer(&classes).0, want);
        let text = Answer::Text(Text {
            text: "né".into(),
            confidence: 1.0,
        });
        let mut want = [2, 1f32.to_bits(), 3].map(u32::to_le_bytes).concat();
        want.extend_from_slice("né".as_bytes());
        assert_eq!(Packed::answer(&text).0, want);
        let vector = Answer::Embedding(vec![-2.0]);
        let want = [5, 1, (-2f32).to_bits()].map(u32::to_le_bytes).concat();
        assert_eq!(Packed::answer(&vector).0, want);
    }
}
