//! Names of functions as their authors wrote them, out of the linker's.

/// `cygnet_kernels::quantized::dsp::dense` of its symbol; what no Rust compiler made stays as it is. Parameters of generic
/// functions and impl blocks are left out.
pub fn readable(symbol: &str) -> String {
    let path = match (symbol.strip_prefix("_R"), symbol.strip_prefix("_ZN")) {
        (Some(rest), _) => mangled(rest),
        (_, Some(rest)) => legacy(rest),
        _ => Vec::new(),
    };
    if path.is_empty() {
        return symbol.to_owned();
    }
    path.join("::")
}

/// The digits at the start as a length, and what follows.
fn length(text: &str) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// RFC 2603: identifiers behind their lengths, among tags of one letter.
fn mangled(mut rest: &str) -> Vec<String> {
    let mut path = Vec::new();
    while let Some(tag) = rest.bytes().next() {
        if !rest.is_char_boundary(1) {
            break;
        }
        if tag.is_ascii_digit() {
            let Some((len, after)) = length(rest) else {
                break;
            };
            // An underscore parts the length from what begins with a digit.
            let after = after.strip_prefix('_').unwrap_or(after);
            let Some(name) = after.get(..len) else {
                break;
            };
            // Closures have no name.
            if len > 0 {
                path.push(name.to_owned());
            }
            rest = &after[len..];
            continue;
        }
        // Numbers that end with an underscore: disambiguators, references to what was said, constants.
        rest = match tag {
            b's' | b'B' | b'K' => match rest.find('_') {
                Some(end) => &rest[end + 1..],
                None => break,
            },
            _ => &rest[1..],
        };
    }
    path
}

/// The scheme before: lengths and identifiers, the last of which is a hash.
fn legacy(mut rest: &str) -> Vec<String> {
    let mut path = Vec::new();
    while let Some((len, after)) = length(rest) {
        let Some(name) = after.get(..len) else {
            break;
        };
        path.push(name.replace("..", "::"));
        rest = &after[len..];
    }
    if path
        .last()
        .is_some_and(|h| h.len() == 17 && h.starts_with('h'))
    {
        path.pop();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn symbols_become_paths() {
        for (symbol, path) in [
            (
                "_RINvNtNtCs1WNz9G2RXlW_14cygnet_kernels9quantized3dsp5panelKb1_EB6_",
                "cygnet_kernels::quantized::dsp::panel",
            ),
            (
                "_RNvMNtNtCs1WNz9G2RXlW_14cygnet_kernels9quantized6blocksNtB4_4Task6gather",
                "cygnet_kernels::quantized::blocks::Task::gather",
            ),
            (
                "_RNvMs_CsbZX68gWFD6v_5modelNtB4_5Model3run",
                "model::Model::run",
            ),
            (
                "_ZN14cygnet_kernels9quantized6scalar6finish17h0123456789abcdefE",
                "cygnet_kernels::quantized::scalar::finish",
            ),
            ("memcpy", "memcpy"),
            ("_R9", "_R9"),
        ] {
            assert_eq!(readable(symbol), path);
        }
    }
}
