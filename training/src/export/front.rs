//! Front ends as nodes.
use super::{FRONT, Writer, int, value_info};
use crate::front::{FLOOR, Spectrum};
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
        let (bins, bands, width) = (s.bins(), s.bands, s.width());
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
        let triangles = self.constant("front/triangles", &[bins, bands], &s.triangles());
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
        let shape = [1, 1, s.frames() as i64, width as i64];
        let shape = self.integers("front/image", &[4], &shape);
        self.front("Reshape", "features", &[&features, &shape])
    }
}
