//! Kernel parameters as Rust expressions.

use cygnet_kernels::int16::Int16Conv;
use cygnet_kernels::quantize::{Layout, Target, Term};
use cygnet_kernels::quantized::{QuantizedConv, Sum};
use cygnet_kernels::{Activation, Conv, Gemm, Pool};

/// A single-precision number with all its bits.
pub fn float(v: f32) -> String {
    if v.is_nan() {
        "f32::NAN".into()
    } else if v == f32::INFINITY {
        "f32::INFINITY".into()
    } else if v == f32::NEG_INFINITY {
        "f32::NEG_INFINITY".into()
    } else {
        format!("{v:?}")
    }
}

pub fn activation(a: Activation) -> String {
    let name = |text: String| format!("Activation::{text}");
    match a {
        Activation::Clip(lo, hi) => name(format!("Clip({}, {})", float(lo), float(hi))),
        Activation::LeakyRelu(a) => name(format!("LeakyRelu({})", float(a))),
        Activation::HardSigmoid(a, b) => name(format!("HardSigmoid({}, {})", float(a), float(b))),
        // Without parameters, as their names are.
        other => name(format!("{other:?}")),
    }
}

pub fn conv(p: &Conv, indent: &str) -> String {
    let fields = [
        ("batch", p.batch.to_string()),
        ("input", format!("{:?}", p.input)),
        ("in_channels", p.in_channels.to_string()),
        ("output", format!("{:?}", p.output)),
        ("out_channels", p.out_channels.to_string()),
        ("kernel", format!("{:?}", p.kernel)),
        ("stride", format!("{:?}", p.stride)),
        ("dilation", format!("{:?}", p.dilation)),
        ("pad_begin", format!("{:?}", p.pad_begin)),
        ("groups", p.groups.to_string()),
        ("activation", activation(p.activation)),
    ];
    structure("Conv", &fields, indent)
}

pub fn quantized_conv(p: &QuantizedConv, residual: bool, indent: &str) -> String {
    let (inner, deep) = (format!("{indent}    "), format!("{indent}        "));
    let r = &p.requantize;
    let sum = if residual {
        sum(&r.sum, &deep)
    } else {
        "Sum::NONE".into()
    };
    let requantize = [
        ("zero", r.zero.to_string()),
        ("low", r.low.to_string()),
        ("high", r.high.to_string()),
        ("sum", sum),
    ];
    let fields = [
        ("conv", conv(&p.conv, &inner)),
        ("signed", p.signed.to_string()),
        ("x_zero", p.x_zero.to_string()),
        ("requantize", structure("Requantize", &requantize, &inner)),
    ];
    structure("QuantizedConv", &fields, indent)
}

pub fn int16_conv(p: &Int16Conv, indent: &str) -> String {
    let fields = [
        ("conv", conv(&p.conv, &format!("{indent}    "))),
        ("bounds", format!("{:?}", p.bounds)),
    ];
    structure("Int16Conv", &fields, indent)
}

fn sum(s: &Sum, indent: &str) -> String {
    let fields = [
        ("own", float(s.own)),
        ("other", float(s.other)),
        ("residual_zero", s.residual_zero.to_string()),
        ("residual_signed", s.residual_signed.to_string()),
        ("zero", s.zero.to_string()),
        ("low", s.low.to_string()),
        ("high", s.high.to_string()),
    ];
    structure("Sum", &fields, indent)
}

pub fn pool(p: &Pool, indent: &str) -> String {
    let kind = format!("PoolKind::{:?}", p.kind);
    let fields = [
        ("kind", kind),
        ("batch", p.batch.to_string()),
        ("input", format!("{:?}", p.input)),
        ("channels", p.channels.to_string()),
        ("output", format!("{:?}", p.output)),
        ("kernel", format!("{:?}", p.kernel)),
        ("stride", format!("{:?}", p.stride)),
        ("dilation", format!("{:?}", p.dilation)),
        ("pad_begin", format!("{:?}", p.pad_begin)),
        ("pad_end", format!("{:?}", p.pad_end)),
    ];
    structure("Pool", &fields, indent)
}

pub fn gemm(p: &Gemm) -> String {
    let product = format!("Gemm::new({}, {}, {})", p.m, p.n, p.k);
    if p.alpha == 1.0 && p.activation == Activation::None {
        return product;
    }
    format!(
        "Gemm {{ alpha: {}, activation: {}, ..{product} }}",
        float(p.alpha),
        activation(p.activation)
    )
}

pub fn target(t: &Target) -> String {
    format!(
        "Target {{ zero: {}, low: {}, high: {} }}",
        t.zero, t.low, t.high
    )
}

pub fn term(t: &Term) -> String {
    format!(
        "Term {{ zero: {}, multiplier: {} }}",
        t.zero,
        float(t.multiplier)
    )
}

pub fn layout(l: &Layout) -> String {
    format!("Layout {{ shape: {:?}, block: {} }}", l.shape, l.block)
}

fn structure(name: &str, fields: &[(&str, String)], indent: &str) -> String {
    let mut out = format!("{name} {{\n");
    for (field, value) in fields {
        out.push_str(&format!("{indent}    {field}: {value},\n"));
    }
    out.push_str(indent);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bits() {
        for v in [0.0f32, -0.0, 0.1, 1e-42, 3.4028235e38, 16777217.0, -1.5e-7] {
            let text = float(v);
            assert_eq!(
                text.parse::<f32>().map(f32::to_bits),
                Ok(v.to_bits()),
                "{text}"
            );
            assert!(
                text.contains('.') || text.contains('e'),
                "{text} is no float"
            );
        }
        assert_eq!(float(f32::NEG_INFINITY), "f32::NEG_INFINITY");
        assert_eq!(float(f32::NAN), "f32::NAN");
    }

    #[test]
    fn activations_are_paths() {
        assert_eq!(activation(Activation::Relu), "Activation::Relu");
        assert_eq!(
            activation(Activation::Clip(0.0, 6.0)),
            "Activation::Clip(0.0, 6.0)"
        );
    }
}
