//! NumPy's `.npy` and `.npz` files (NEP 1, format versions 1 to 3).

use anyhow::{Context, Result, anyhow, bail};
use cygnet_compiler::bundle::Array;
use cygnet_format::DType;
use std::io::Read;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array from the bytes of a `.npy` file.
pub fn parse(bytes: &[u8]) -> Result<Array> {
    let rest = bytes
        .strip_prefix(MAGIC)
        .context("it is not a NumPy file")?;
    let &[major, _, ref rest @ ..] = rest else {
        bail!("it ends inside the header");
    };
    let wide = match major {
        1 => false,
        2 | 3 => true,
        v => bail!("format version {v} is unknown"),
    };
    let prefix = if wide { 4 } else { 2 };
    let (len, rest) = rest
        .split_at_checked(prefix)
        .context("it ends inside the header")?;
    let len = len.iter().rev().fold(0usize, |n, &b| n << 8 | b as usize);
    let (header, data) = rest
        .split_at_checked(len)
        .context("it ends inside the header")?;
    let header = std::str::from_utf8(header).context("its header is not text")?;
    let descr = field(header, "descr").context("its header has no `descr`")?;
    let descr = descr.trim_matches(|c| c == '\'' || c == '"');
    let fortran = field(header, "fortran_order").is_some_and(|v| v.starts_with("True"));
    let shape_text = header
        .split_once("shape")
        .and_then(|(_, r)| r.split_once('('))
        .and_then(|(_, r)| r.split_once(')'))
        .map(|(s, _)| s)
        .context("its header has no `shape`")?;
    let shape = shape_text
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.trim_end_matches('L').parse::<usize>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| anyhow!("its shape ({shape_text}) is not a list of lengths"))?;
    let dtype = match descr.trim_start_matches(['<', '|', '=']) {
        "f4" => DType::F32,
        "f8" => DType::F64,
        "f2" => DType::F16,
        "i1" => DType::I8,
        "u1" => DType::U8,
        "i2" => DType::I16,
        "u2" => DType::U16,
        "i4" => DType::I32,
        "u4" => DType::U32,
        "i8" => DType::I64,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        other => bail!(
            "its element type `{other}` is not readable: save it little-endian as f4, f8, f2, i1..i8, u1..u8 or b1"
        ),
    };
    let count = shape
        .iter()
        .try_fold(dtype.size(), |n, &d| n.checked_mul(d))
        .context("its shape is absurdly large")?;
    if data.len() < count {
        bail!(
            "it holds {} bytes of data, its shape needs {count}",
            data.len()
        );
    }
    let data = data[..count].to_vec();
    if !fortran {
        return Array::new(dtype, shape, data).context("its shape does not fit its data");
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let perm: Vec<usize> = (0..shape.len()).rev().collect();
    let array = Array::new(dtype, reversed, data).context("its shape does not fit its data")?;
    Ok(array.unpermute(&perm))
}

fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    Some(rest.split([',', '}']).next()?.trim())
}

/// The bytes of a `.npy` file, version 1.
pub fn to_bytes(array: &Array) -> Result<Vec<u8>> {
    let descr = match array.dtype {
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::F16 => "<f2",
        DType::I8 | DType::I4 | DType::I2 => "|i1",
        DType::I16 => "<i2",
        DType::U16 => "<u2",
        DType::I32 => "<i4",
        DType::U32 => "<u4",
        DType::I64 => "<i8",
        DType::U64 => "<u8",
        DType::Bool => "|b1",
        // NumPy has no type for bfloat16: its bits as integers.
        DType::BF16 => "<u2",
        _ => "|u1",
    };
    let shape = match array.shape.as_slice() {
        [one] => format!("({one},)"),
        many => format!(
            "({})",
            many.iter()
                .map(|d| d.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(MAGIC.len() + 4 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut out = MAGIC.to_vec();
    out.extend([1, 0]);
    out.extend(u16::try_from(header.len())?.to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(&array.data);
    Ok(out)
}

/// Reads a `.npy` file.
pub fn read(path: &Path) -> Result<Array> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("cannot use {} as an array", path.display()))
}

/// Reads every array of a `.npz` file.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Array)>> {
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file))
        .with_context(|| format!("{} is not an .npz file", path.display()))?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i)?;
        let name = entry.name()?.into_owned();
        let Some(stem) = name.strip_suffix(".npy") else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let array =
            parse(&bytes).with_context(|| format!("cannot use {name} in {}", path.display()))?;
        arrays.push((stem.to_owned(), array));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for shape in [vec![], vec![3], vec![2, 3]] {
            let len: usize = shape.iter().product();
            let values: Vec<f32> = (0..len).map(|v| v as f32 - 1.5).collect();
            let array = Array::from_f32(&shape, &values);
            let bytes = to_bytes(&array).unwrap();
            assert_eq!((bytes.len() - array.data.len()) % 64, 0);
            assert_eq!(parse(&bytes).unwrap(), array);
        }
    }

    #[test]
    fn column_major_is_transposed() {
        let array = Array::from_f32(&[3, 2], &[0., 2., 4., 1., 3., 5.]);
        let mut bytes = to_bytes(&array).unwrap();
        let at = bytes.windows(5).position(|w| w == b"False").unwrap();
        bytes[at..at + 5].copy_from_slice(b"True ");
        assert_eq!(
            parse(&bytes).unwrap(),
            Array::from_f32(&[3, 2], &[0., 1., 2., 3., 4., 5.])
        );
    }

    #[test]
    fn broken_files_are_refused() {
        let bytes = to_bytes(&Array::from_f32(&[8], &[0.0; 8])).unwrap();
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
