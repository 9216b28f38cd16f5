//! 8-bit and 4-bit floats (OCP FP8, the FNUZ variants of Noune et al., OCP MX E8M0 and E2M1).
use cygnet_format::DType;

#[derive(Clone, Copy)]
struct Layout {
    mantissa: i32,
    bias: i32,
    max: f64,
    /// Code of NaN without its sign; none when the format has no NaN.
    nan: Option<u8>,
    /// Code of infinity, where it exists.
    infinity: Option<u8>,
    /// No negative zero: its code is the NaN.
    unsigned_zero: bool,
    sign: u8,
}

const fn layout(dtype: DType) -> Layout {
    let base = Layout {
        mantissa: 3,
        bias: 7,
        max: 448.0,
        nan: Some(0x7f),
        infinity: None,
        unsigned_zero: false,
        sign: 0x80,
    };
    match dtype {
        DType::F8E4M3FNUZ => Layout {
            bias: 8,
            max: 240.0,
            nan: Some(0x80),
            unsigned_zero: true,
            ..base
        },
        DType::F8E5M2 => Layout {
            mantissa: 2,
            bias: 15,
            max: 57344.0,
            infinity: Some(0x7c),
            ..base
        },
        DType::F8E5M2FNUZ => Layout {
            mantissa: 2,
            bias: 16,
            max: 57344.0,
            nan: Some(0x80),
            unsigned_zero: true,
            ..base
        },
        DType::F4E2M1 => Layout {
            mantissa: 1,
            bias: 1,
            max: 6.0,
            nan: None,
            sign: 8,
            ..base
        },
        _ => base,
    }
}

/// 2^e for -1022 <= e <= 1023.
fn exp2(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// Code of the nearest value, ties to even. `saturate`: values beyond the largest become it; otherwise infinity or NaN.
pub(crate) fn encode(dtype: DType, v: f64, saturate: bool) -> u8 {
    if dtype == DType::F8E8M0 {
        return encode_e8m0(v);
    }
    let l = layout(dtype);
    let sign = if v.is_sign_negative() { l.sign } else { 0 };
    if v.is_nan() {
        return match l.nan {
            Some(0x80) => 0x80,
            Some(n) => n | sign,
            None => 8,
        };
    }
    let a = v.abs();
    let overflow = |s: u8| match (saturate || l.nan.is_none(), l.infinity, l.nan) {
        (true, _, _) => s | encode(dtype, l.max, true),
        (_, Some(i), _) => s | i,
        (_, _, Some(0x80)) => 0x80,
        (_, _, Some(n)) => s | n,
        _ => s,
    };
    if a.is_infinite() {
        return overflow(sign);
    }
    let least = 1 - l.bias;
    let exponent = (((a.to_bits() >> 52) as i32) - 1023).max(least);
    let quantum = exp2(exponent - l.mantissa);
    let q = libm::rint(a / quantum);
    if q * quantum > l.max {
        return overflow(sign);
    }
    // Rounding up to the next binade carries into the exponent by itself.
    let q = q as i32;
    let hidden = 1 << l.mantissa;
    let code = if q >= hidden {
        ((exponent + l.bias) << l.mantissa) + (q - hidden)
    } else {
        q
    } as u8;
    if code == 0 && l.unsigned_zero {
        0
    } else {
        code | sign
    }
}

/// Powers of two from 2^-127, rounded up; NaN is 255.
fn encode_e8m0(v: f64) -> u8 {
    if v.is_nan() || v < 0.0 {
        return 255;
    }
    if v <= exp2(-127) {
        return 0;
    }
    let up = (v.to_bits() & ((1 << 52) - 1) != 0) as i32;
    (((v.to_bits() >> 52) as i32) - 1023 + up + 127).clamp(0, 254) as u8
}

/// The value of a code.
pub(crate) fn decode(dtype: DType, code: u8) -> f32 {
    if dtype == DType::F8E8M0 {
        return if code == 255 {
            f32::NAN
        } else {
            exp2(i32::from(code) - 127) as f32
        };
    }
    let l = layout(dtype);
    let sign = if code & l.sign != 0 { -1.0 } else { 1.0 };
    let magnitude = code & (l.sign - 1);
    if (l.unsigned_zero && code == 0x80) || (!l.unsigned_zero && l.nan == Some(magnitude)) {
        return f32::NAN;
    }
    if let Some(i) = l.infinity
        && magnitude >= i
    {
        return if magnitude == i {
            sign as f32 * f32::INFINITY
        } else {
            f32::NAN
        };
    }
    let hidden = 1 << l.mantissa;
    let (e, m) = (
        i32::from(magnitude) >> l.mantissa,
        i32::from(magnitude) & (hidden - 1),
    );
    let v = if e == 0 {
        f64::from(m) * exp2(1 - l.bias - l.mantissa)
    } else {
        f64::from(m + hidden) * exp2(e - l.bias - l.mantissa)
    };
    (sign * v) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives() {
        for d in [
            DType::F8E4M3FN,
            DType::F8E4M3FNUZ,
            DType::F8E5M2,
            DType::F8E5M2FNUZ,
            DType::F8E8M0,
        ] {
            for code in 0..=255u8 {
                let v = decode(d, code);
                if !v.is_nan() {
                    assert_eq!(encode(d, v as f64, false), code, "{d} {code:#x} {v}");
                }
            }
        }
        for code in 0..16u8 {
            assert_eq!(
                encode(DType::F4E2M1, decode(DType::F4E2M1, code) as f64, true),
                code
            );
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(decode(DType::F8E4M3FN, 0x7e), 448.0);
        assert_eq!(decode(DType::F8E4M3FNUZ, 0x7f), 240.0);
        assert_eq!(decode(DType::F8E5M2, 0x7b), 57344.0);
        assert_eq!(encode(DType::F8E4M3FN, 1e6, true), 0x7e);
        assert_eq!(encode(DType::F8E4M3FN, 1e6, false), 0x7f);
        assert_eq!(encode(DType::F8E5M2, -1e6, false), 0xfc);
        assert_eq!(encode(DType::F8E5M2FNUZ, f64::NEG_INFINITY, false), 0x80);
        assert_eq!(encode(DType::F8E4M3FNUZ, -1e-9, true), 0);
        let f4: [f32; 7] = [0.48, 0.25, 1.05, -3.5, -8.0, 9.0, 1e-7]
            .map(|v: f64| decode(DType::F4E2M1, encode(DType::F4E2M1, v, true)));
        assert_eq!(f4, [0.5, 0.0, 1.0, -4.0, -6.0, 6.0, 0.0]);
        let e8 = [0.0, 0.124, 0.25, 0.5, 1.1, 2.0]
            .map(|v| decode(DType::F8E8M0, encode(DType::F8E8M0, v, true)));
        assert_eq!(e8, [5.877_472e-39, 0.125, 0.25, 0.5, 2.0, 2.0]);
    }
}
