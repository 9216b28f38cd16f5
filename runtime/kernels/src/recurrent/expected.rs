//! Expected values: ONNX Runtime.
use super::*;

const T: usize = 3;
const B: usize = 2;
const I: usize = 2;
const H: usize = 2;

const SIZES: Sizes = Sizes {
    steps: T,
    batch: B,
    input: I,
    hidden: H,
    directions: 1,
    reverse: false,
    clip: 0.0,
};

fn gate(kind: GateKind) -> Gate {
    Gate {
        kind,
        a: 0.0,
        b: 0.0,
    }
}

fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() < 1e-5, "{i}: {a} {b}");
    }
}

#[test]
fn lstm_with_peepholes_and_lengths() {
    let x = [
        0.625f32, -0.875, -0.625, -0.5, -0.625, 0.625, 0.75, 0.125, -1.0, -0.875, -0.375, -0.125,
    ];
    let w = [
        0.25f32, 0.0, -0.5, -0.75, 0.375, 0.5, -1.0, -0.875, -0.125, -0.25, 0.875, 0.0, -0.125,
        -0.125, 0.375, 0.125, -0.75, 0.5, 0.5, 1.0, 0.625, -0.5, -0.375, 0.375, 0.375, 0.375, 0.75,
        -0.5, 0.875, -1.0, -0.875, 1.0,
    ];
    let r = [
        1.0f32, -0.375, -0.75, -0.375, -1.0, 0.875, 0.375, 0.125, -0.5, 0.0, -0.625, 0.625, 0.0,
        -1.0, -0.5, 0.5, 0.0, -0.25, -0.5, -0.875, 0.25, 0.375, 0.0, 0.875, 0.875, -0.625, 0.25,
        0.25, -0.5, -0.375, 0.0, 0.5,
    ];
    let b = [
        -0.5f32, 0.5, 0.375, -0.625, -0.25, 0.75, 0.75, 0.375, -1.0, 0.375, -0.625, 0.625, 0.875,
        -0.125, 1.0, 0.5, -0.375, 0.75, -0.25, -0.875, 0.25, 0.75, 0.375, -0.25, 0.875, 0.0, -0.25,
        -0.75, -0.625, 0.375, 0.625, -0.5,
    ];
    let h0 = [0.25f32, 0.75, -0.75, -0.5, 0.0, 0.125, -0.25, -0.25];
    let c0 = [-0.75f32, 0.25, 0.875, -0.625, 0.625, -0.625, -1.0, 0.5];
    let p = [
        -0.625f32, 0.5, -0.375, 0.125, 0.875, 0.875, 0.0, -0.625, -0.5, 0.75, 0.25, -0.75,
    ];
    let expected_y = [
        -0.074_397_594_f32,
        0.405_654_94,
        0.220_347_2,
        0.179_194_39,
        0.225_503_77,
        -0.036_997_38,
        0.138_106_39,
        -0.059_825_26,
        0.018_878_667,
        0.459_408_28,
        0.280_563_3,
        0.203_179_28,
        0.035_031_036,
        -0.044_714_663,
        0.031_786_18,
        -0.027_525_311,
        0.045_293_39,
        0.770_087_96,
        0.0,
        0.0,
        0.160_931_4,
        -0.073_438_86,
        0.0,
        0.0,
    ];
    let expected_h = [
        0.045_293_39_f32,
        0.770_087_96,
        0.280_563_3,
        0.203_179_28,
        0.225_503_77,
        -0.036_997_38,
        0.138_106_39,
        -0.059_825_26,
    ];
    let expected_c = [
        0.140_388_04_f32,
        1.351_493_4,
        0.763_254_1,
        0.692_173_8,
        0.462_096_27,
        -0.778_353_45,
        0.521_854_46,
        -0.569_614_77,
    ];
    let sizes = Sizes {
        directions: 2,
        ..SIZES
    };
    let gates = [
        GateKind::Sigmoid,
        GateKind::Tanh,
        GateKind::Tanh,
        GateKind::Sigmoid,
        GateKind::Tanh,
        GateKind::Tanh,
    ]
    .map(gate);
    let (mut y, mut last, mut cell) = ([9.0; T * 2 * B * H], [9.0; 2 * B * H], [9.0; 2 * B * H]);
    let o = Operands {
        x: &x,
        w: &w,
        r: &r,
        bias: Some(&b),
        lengths: Some(&[3, 2]),
        h0: Some(&h0),
        c0: Some(&c0),
        peepholes: Some(&p),
    };
    let results = Results {
        y: Some(&mut y),
        h: Some(&mut last),
        c: Some(&mut cell),
    };
    run(
        &crate::Kernels::best(),
        Cell::Lstm {
            input_forget: false,
        },
        &sizes,
        &gates,
        &o,
        results,
    )
    .unwrap();
    close(&y, &expected_y);
    close(&last, &expected_h);
    close(&cell, &expected_c);
}

#[test]
fn lstm_with_coupled_gates() {
    let x = [
        0.875f32, 1.0, 1.0, 0.25, 1.0, 0.25, 0.0, 1.0, 0.25, 0.625, -0.375, 0.625,
    ];
    let w = [
        1.0f32, -1.0, 0.125, -0.25, -1.0, -0.875, -0.5, -0.625, 0.5, -0.625, 0.25, 0.75, 0.0,
        -0.75, -0.875, -0.375,
    ];
    let r = [
        -0.125f32, 0.0, -0.375, 0.75, 0.125, 1.0, 0.875, 0.5, -1.0, -0.625, 0.5, 0.125, 1.0, 0.5,
        0.625, -1.0,
    ];
    let b = [
        -0.375f32, 0.375, 0.25, -0.25, -0.75, 0.25, -0.875, 0.375, 0.625, 0.375, -0.875, 0.0,
        -0.375, 0.125, 0.375, -0.625,
    ];
    let h0 = [-1.0f32, 0.0, 0.25, -0.75];
    let c0 = [0.875f32, 0.0, 1.0, 0.125];
    let expected_y = [
        -0.043_030_787_f32,
        -0.127_564_67,
        -0.052_764_17,
        -0.157_455_4,
        -0.055_463_385,
        -0.176_875_64,
        0.008_045_976,
        -0.079_733_04,
        -0.007_609_355_7,
        -0.091_189_23,
        0.073_791_236,
        0.123_485_43,
    ];
    let expected_h = [
        -0.043_030_787_f32,
        -0.127_564_67,
        -0.052_764_17,
        -0.157_455_4,
    ];
    let expected_c = [-0.691_596_4_f32, -0.812_738_8, -0.439_897_1, -0.633_075_24];
    let sizes = Sizes {
        reverse: true,
        ..SIZES
    };
    let gates = [GateKind::Sigmoid, GateKind::Tanh, GateKind::Tanh].map(gate);
    let (mut y, mut last, mut cell) = ([9.0; T * B * H], [9.0; B * H], [9.0; B * H]);
    let o = Operands {
        x: &x,
        w: &w,
        r: &r,
        bias: Some(&b),
        lengths: None,
        h0: Some(&h0),
        c0: Some(&c0),
        peepholes: None,
    };
    let results = Results {
        y: Some(&mut y),
        h: Some(&mut last),
        c: Some(&mut cell),
    };
    run(
        &crate::Kernels::best(),
        Cell::Lstm { input_forget: true },
        &sizes,
        &gates,
        &o,
        results,
    )
    .unwrap();
    close(&y, &expected_y);
    close(&last, &expected_h);
    close(&cell, &expected_c);
}

#[test]
fn gru_plain_reset() {
    let x = [
        0.5f32, 0.625, 0.0, -0.25, 0.375, -1.0, 0.25, 0.0, -0.75, -0.625, -1.0, 0.5,
    ];
    let w = [
        0.375f32, -0.25, 1.0, -0.25, -0.375, 0.875, -0.875, -0.25, -1.0, -0.375, 0.5, -0.375,
    ];
    let r = [
        0.0f32, 0.0, -0.875, -0.875, -0.375, 0.125, -0.875, 0.875, 0.75, 0.125, 0.5, 0.5,
    ];
    let b = [
        -1.0f32, 1.0, -1.0, 0.75, 0.75, 0.5, -0.75, 0.625, 1.0, 0.625, 0.375, -0.5,
    ];
    let h0 = [0.125f32, 0.0, 0.75, -0.375];
    let expected_y = [
        0.654_195_55_f32,
        0.116_029_62,
        0.880_244_2,
        -0.219_423_77,
        0.852_118_5,
        0.074_521_34,
        0.830_632_03,
        -0.324_288_2,
        0.860_395_9,
        -0.032_363_217,
        0.956_285_5,
        -0.448_278_78,
    ];
    let expected_h = [0.654_195_55_f32, 0.116_029_62, 0.880_244_2, -0.219_423_77];
    let sizes = Sizes {
        reverse: true,
        ..SIZES
    };
    let gates = [GateKind::Sigmoid, GateKind::Tanh].map(gate);
    let (mut y, mut last) = ([9.0; T * B * H], [9.0; B * H]);
    let o = Operands {
        x: &x,
        w: &w,
        r: &r,
        bias: Some(&b),
        lengths: None,
        h0: Some(&h0),
        c0: None,
        peepholes: None,
    };
    let results = Results {
        y: Some(&mut y),
        h: Some(&mut last),
        c: None,
    };
    run(
        &crate::Kernels::best(),
        Cell::Gru {
            linear_before_reset: false,
        },
        &sizes,
        &gates,
        &o,
        results,
    )
    .unwrap();
    close(&y, &expected_y);
    close(&last, &expected_h);
}

#[test]
fn gru_linear_before_reset() {
    let x = [
        -0.25f32, -0.5, 0.0, 0.125, -0.125, -0.375, 0.125, 0.25, -0.75, 0.125, 0.5, -0.875,
    ];
    let w = [
        0.25f32, -0.125, 0.875, -0.25, -0.375, 0.5, 0.75, -0.875, -0.875, -0.75, -0.375, 0.0,
    ];
    let r = [
        0.125f32, -0.25, 0.875, 0.375, -0.75, -0.375, -0.625, -0.625, 0.75, 0.875, -0.125, -0.5,
    ];
    let b = [
        0.75f32, -0.75, -0.75, -0.5, -0.25, -0.375, -0.5, -0.625, 0.25, 0.125, 0.375, 0.875,
    ];
    let h0 = [0.875f32, -0.75, 0.625, -0.125];
    let expected_y = [
        0.522_996_66_f32,
        0.020_889_478,
        -0.021_825_44,
        -0.043_326_67,
        0.544_638_3,
        -0.026_822_913,
        0.116_725_49,
        -0.123_210_95,
        0.687_463_76,
        0.023_972_854,
        0.437_275_92,
        -0.076_249_09,
    ];
    let expected_h = [
        0.522_996_66_f32,
        0.020_889_478,
        -0.021_825_44,
        -0.043_326_67,
    ];
    let sizes = Sizes {
        reverse: true,
        ..SIZES
    };
    let gates = [GateKind::Sigmoid, GateKind::Tanh].map(gate);
    let (mut y, mut last) = ([9.0; T * B * H], [9.0; B * H]);
    let o = Operands {
        x: &x,
        w: &w,
        r: &r,
        bias: Some(&b),
        lengths: None,
        h0: Some(&h0),
        c0: None,
        peepholes: None,
    };
    let results = Results {
        y: Some(&mut y),
        h: Some(&mut last),
        c: None,
    };
    run(
        &crate::Kernels::best(),
        Cell::Gru {
            linear_before_reset: true,
        },
        &sizes,
        &gates,
        &o,
        results,
    )
    .unwrap();
    close(&y, &expected_y);
    close(&last, &expected_h);
}

#[test]
fn rnn_clipped() {
    let x = [
        0.625f32, 0.375, -1.0, 0.875, 0.875, 1.0, -0.875, -0.75, 0.25, 0.125, -0.875, 0.75,
    ];
    let w = [-0.625f32, -1.0, 0.75, 0.25];
    let r = [-1.0f32, -0.75, 0.75, 0.625];
    let b = [0.75f32, 0.875, -0.375, 0.125];
    let h0 = [-0.25f32, -1.0, -0.5, -0.875];
    let expected_y = [
        0.462_117_2_f32,
        0.462_117_2,
        0.462_117_2,
        -0.424_464_34,
        -0.462_117_14,
        0.462_117_2,
        0.462_117_2,
        0.233_178_14,
        0.206_276_54,
        0.462_117_2,
        -0.434_252_68,
        0.462_117_2,
    ];
    let expected_h = [0.206_276_54_f32, 0.462_117_2, -0.434_252_68, 0.462_117_2];
    let sizes = Sizes { clip: 0.5, ..SIZES };
    let gates = [GateKind::Tanh].map(gate);
    let (mut y, mut last) = ([9.0; T * B * H], [9.0; B * H]);
    let o = Operands {
        x: &x,
        w: &w,
        r: &r,
        bias: Some(&b),
        lengths: None,
        h0: Some(&h0),
        c0: None,
        peepholes: None,
    };
    let results = Results {
        y: Some(&mut y),
        h: Some(&mut last),
        c: None,
    };
    run(
        &crate::Kernels::best(),
        Cell::Rnn,
        &sizes,
        &gates,
        &o,
        results,
    )
    .unwrap();
    close(&y, &expected_y);
    close(&last, &expected_h);
}
