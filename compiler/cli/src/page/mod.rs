//! Pages for people: one HTML file that needs nothing else. What all pages share stands here, and all text passes maud,
//! which escapes it.

pub mod chart;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cygnet_compiler::bundle::sha256_hex;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A whole page; `subtitle` stands below its title.
pub fn document(title: &str, subtitle: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (title) } p.under { (subtitle) } }
                main { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Nothing is fetched, pictures lie in the page, and nothing but its own style and script counts, whatever a name in the
/// page says.
pub fn policy() -> String {
    format!(
        "default-src 'none'; img-src data:; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
}

/// A source of a Content Security Policy: the digest of an element's text.
fn digest(text: &str) -> String {
    let hex = sha256_hex(text.as_bytes());
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|d| {
        let byte = std::str::from_utf8(d).map(|d| u8::from_str_radix(d, 16));
        byte.expect("hexadecimal").expect("hexadecimal")
    });
    format!("sha256-{}", STANDARD.encode(bytes.collect::<Vec<u8>>()))
}

/// How a column is sorted as the page opens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sorted {
    No,
    Ascending,
    Descending,
}

/// The head of a column of a sortable table; `class` is that of its cells.
pub fn head(label: &str, class: &str, sorted: Sorted) -> Markup {
    let way = match sorted {
        Sorted::No => None,
        Sorted::Ascending => Some("ascending"),
        Sorted::Descending => Some("descending"),
    };
    html! { th scope="col" class=(class) aria-sort=[way] { button type="button" { (label) } } }
}

/// A cell that sorts by a number; those without one come last when the largest comes first.
pub fn number(value: Option<f64>, shown: &str) -> Markup {
    html! { td.n data-value=(value.unwrap_or(f64::MIN)) { (shown) } }
}

/// A figure of the first row of a page.
pub struct Tile {
    pub what: String,
    pub value: String,
    /// What it was before, or what belongs to it.
    pub note: Option<String>,
}

impl Tile {
    pub fn new(what: &str, value: String) -> Tile {
        Tile {
            what: what.to_owned(),
            value,
            note: None,
        }
    }
}

pub fn tiles(tiles: &[Tile]) -> Markup {
    html! {
        div.tiles {
            @for t in tiles {
                div {
                    b { (t.value) }
                    span { (t.what) }
                    @if let Some(note) = &t.note { span.note { (note) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_browsers() {
        // The example of W3C, Content Security Policy Level 2, section 7.17.2.
        assert_eq!(
            digest("alert('Hello, world.');"),
            "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
        );
    }
}
