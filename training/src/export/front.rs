//! Front ends as nodes.
use super::ints;
use super::{FRONT, Writer, int, value_info};
use crate::front::{FLOOR, Front, Spectrum, Table};
use crate::network::Network;
use tract_onnx::pb::tensor_proto;

impl Writer {
    /// A constant of whole numbers.
    fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(name, tensor_proto::DataType::Int64, shape, bytes)
    }

    /// A node called `front/NAME`.
    fn front(&mut self, operator: &str, name: &str, inputs: &[&str]) -> String {
        self.node(operator, &format!("{FRONT}{name}"), inputs, &[])
    }

    /// The features of a sound: from `audio` `[1, length]` to an image of one channel.
    pub(super) fn spectrum(&mut self, s: &Spectrum) -> String {
        self.graph.input.push(value_info("audio", &[1, s.length]));
        let (used, bands, width) = (s.used(), s.bands, s.width());
        let shape = self.integers("front/signal", &[3], &[1, s.length as i64, 1]);
        let signal = self.front("Reshape", "reshape", &["audio", &shape]);
        let step = self.integers("front/step", &[], &[s.step as i64]);
        let window = self.constant("front/window", &[s.frame], &s.window);
        // A transform of the frames by its definition would have more weights than most networks.
        let spectra = self.front("STFT", "stft", &[&signal, &step, &window]);
        let squares = self.front("Mul", "square", &[&spectra, &spectra]);
        let axes = self.integers("front/axes", &[1], &[3]);
        let power = self.node(
            "ReduceSum",
            "front/power",
            &[&squares, &axes],
            &[int("keepdims", 0)],
        );
        let from = self.integers("front/first", &[1], &[0]);
        let to = self.integers("front/used", &[1], &[used as i64]);
        let axis = self.integers("front/bins", &[1], &[2]);
        let power = self.front("Slice", "heard", &[&power, &from, &to, &axis]);
        let triangles = self.constant("front/triangles", &[used, bands], &s.triangles());
        let mel = self.front("MatMul", "mel", &[&power, &triangles]);
        let floor = self.constant("front/floor", &[], &[FLOOR]);
        let floored = self.front("Add", "add", &[&mel, &floor]);
        let logs = self.front("Log", "log", &[&floored]);
        let shift: Vec<f32> = s.mean.iter().zip(&s.scale).map(|(m, k)| -m * k).collect();
        let shift = self.constant("front/shift", &[width], &shift);
        let scaled = if s.cosines.is_empty() {
            let scale = self.constant("front/scale", &[width], &s.scale);
            self.front("Mul", "deviation", &[&logs, &scale])
        } else {
            let scales = s.scale.iter().cycle();
            let cosines: Vec<f32> = s.cosines.iter().zip(scales).map(|(c, k)| c * k).collect();
            let cosines = self.constant("front/cosines", &[bands, width], &cosines);
            self.front("MatMul", "dct", &[&logs, &cosines])
        };
        let features = self.front("Add", "mean", &[&scaled, &shift]);
        self.units = Some(features.clone());
        let shape = [1, 1, s.frames() as i64, width as i64];
        let shape = self.integers("front/image", &[4], &shape);
        self.front("Reshape", "features", &[&features, &shape])
    }

    /// What the network reads of a row: from `row` `[1, columns]` to an image of as many channels.
    pub(super) fn table(&mut self, t: &Table) -> String {
        let (columns, width, numbers) = (t.columns.len(), t.width(), t.numbers());
        self.graph.input.push(value_info("row", &[1, columns]));
        let mut factors = vec![0.0; columns * width];
        let affine = t.affine();
        for (unit, (column, factor, _)) in affine.iter().enumerate() {
            factors[column * width + unit] = *factor;
        }
        let shifts: Vec<f32> = affine.iter().map(|a| a.2).collect();
        let factors = self.constant("front/factors", &[columns, width], &factors);
        let shifts = self.constant("front/shifts", &[width], &shifts);
        let scaled = self.front("MatMul", "scale", &["row", &factors]);
        let mut units = self.front("Add", "shift", &[&scaled, &shifts]);
        if numbers < width {
            let mut part = |name: &str, from: usize, to: usize| {
                let from = self.integers(&format!("front/{name}.from"), &[1], &[from as i64]);
                let to = self.integers(&format!("front/{name}.to"), &[1], &[to as i64]);
                let axis = self.integers(&format!("front/{name}.axis"), &[1], &[1]);
                self.front("Slice", name, &[&units, &from, &to, &axis])
            };
            let first = (numbers > 0).then(|| part("numbers", 0, numbers));
            let others = part("categories", numbers, width);
            let far = self.front("Abs", "far", &[&others]);
            let one = self.constant("front/one", &[], &[1.0]);
            let near = self.front("Sub", "near", &[&one, &far]);
            let hot = self.front("Relu", "hot", &[&near]);
            units = match first {
                None => hot,
                Some(first) => {
                    self.node("Concat", "front/units", &[&first, &hot], &[int("axis", 1)])
                }
            };
        }
        self.units = Some(units.clone());
        let shape = self.integers("front/image", &[4], &[1, width as i64, 1, 1]);
        self.front("Reshape", "features", &[&units, &shape])
    }

    /// The mean squared difference of `output` to what the network reads, over a threshold.
    ///
    /// What is read is taken before it is shaped: behind that it is the network's integers, whose range cuts off what is
    /// unlike the samples that were learnt from, which is what anomalies are.
    pub(super) fn score(
        &mut self,
        network: &Network,
        front: &Front,
        output: &str,
        threshold: f32,
    ) -> String {
        let shape = network.input_shape().iter().map(|n| *n as i64);
        let (read, made) = match (front, self.units.clone()) {
            (Front::Table(_), Some(units)) => (units, output.to_owned()),
            (_, units) => {
                let image: Vec<i64> = [1].into_iter().chain(shape).collect();
                let image = match units {
                    // One channel: frames and features.
                    Some(_) => image[..3].to_vec(),
                    None => image,
                };
                let rank = image.len();
                let image = self.integers("back/image", &[rank], &image);
                let made = self.node("Reshape", "back/reconstruction", &[output, &image], &[]);
                match units {
                    Some(units) => (units, made),
                    None => {
                        let order = [ints("perm", &[0, 3, 1, 2])];
                        let made = self.node("Transpose", "back/first", &[&made], &order);
                        ("input".to_owned(), made)
                    }
                }
            }
        };
        let apart = self.node("Sub", "back/difference", &[&read, &made], &[]);
        let square = self.node("Mul", "back/square", &[&apart, &apart], &[]);
        let size: usize = network.input_shape().iter().product();
        let flat = self.integers("back/flat", &[2], &[1, size as i64]);
        let square = self.node("Reshape", "back/squares", &[&square, &flat], &[]);
        let axis = self.integers("back/axis", &[1], &[1]);
        let sum = self.node(
            "ReduceSum",
            "back/sum",
            &[&square, &axis],
            &[int("keepdims", 0)],
        );
        let unit = self.constant("back/unit", &[], &[1.0 / (size as f32 * threshold)]);
        self.node("Mul", "score", &[&sum, &unit], &[])
    }
}
