//! EfficientNet-Lite0 with ImageNet weights says what is on photographs.

use crate::{answer, array, best, model, planes, programs, quantise, sample};
use cygnet_compiler::quantize::{Precision, Sample};
use cygnet_tests::Tensor;
use cygnet_tests::through::Request;

/// Percent of crops with the best class of the float program.
const SAME: f64 = 97.0;

/// Each crop as an input: RGB, `(v - 127) / 128`.
fn crops(of: &Tensor) -> impl Iterator<Item = Tensor> {
    let [_, h, w, c] = of.shape[..] else {
        panic!("crops have four axes: {:?}", of.shape)
    };
    let each = of.bytes.chunks_exact(h * w * c);
    each.map(move |pixels| planes(pixels, [h, w, c], &[1.0 / 128.0; 3], &[-127.0 / 128.0; 3]))
}

#[test]
fn photographs() {
    let model = model("made/efficientnet_lite0.onnx");
    let samples: Vec<Sample> = crops(&array("photographs/calibration.npy"))
        .map(|x| sample("crop", &[&x]))
        .collect();
    let made = quantise(&model, &Request::default(), Precision::Int8, &samples);
    let [float, integer] = programs(&made);
    let (mut same, mut count) = (0, 0);
    for x in crops(&array("photographs/judged.npy")) {
        let answers = [&float, &integer].map(|p| answer(p, &[("input", &x)]));
        let [f, i] = answers.each_ref().map(|a| best(&a.f32s()));
        if f != i {
            let of = |k: usize| answers.each_ref().map(|a| a.f32s()[k]);
            eprintln!("  crop {count}: {f} {:?}, {i} {:?}", of(f), of(i));
        }
        same += usize::from(f == i);
        count += 1;
    }
    let percent = 100.0 * same as f64 / count as f64;
    eprintln!("EfficientNet-Lite0, {count} crops: the same best class on {same}, {percent:.1} %");
    assert_eq!(count, 120, "the data are not what they were");
    assert!(percent >= SAME, "the same best class on {percent:.1} %");
}
