//! Byte counts in words.

/// Reads `1234`, `256K`, `1.5M`, `2G` (powers of 1024; an optional `B` or `iB` may follow).
pub fn parse(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let (digits, factor) = match number.as_bytes().last() {
        Some(b'k') => (&number[..number.len() - 1], 1u64 << 10),
        Some(b'm') => (&number[..number.len() - 1], 1 << 20),
        Some(b'g') => (&number[..number.len() - 1], 1 << 30),
        _ => (number, 1),
    };
    match digits.trim().parse::<f64>() {
        Ok(v) if v >= 0.0 && v.is_finite() => Ok((v * factor as f64) as u64),
        _ => Err(format!("`{text}` is not a size such as 4096, 256K or 1.5M")),
    }
}

/// A size for people.
pub fn show(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.2} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("256K"), Ok(262_144));
        assert_eq!(parse("1.5MiB"), Ok(1_572_864));
        assert_eq!(parse("77"), Ok(77));
        assert!(parse("-1").is_err() && parse("lots").is_err());
        assert_eq!(show(262_144), "256.0 KiB");
    }
}
