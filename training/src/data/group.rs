//! Groups of samples by the names of their files.
use serde::{Deserialize, Serialize};

/// Which part of a file's name is its group: `{group}` stands for it, `*` for any characters. Both take as few characters
/// as the rest allows. The ending (`.wav`) is no part of the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Any,
    Group,
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.matches("{group}").count() != 1 {
            return Err(format!(
                "`{text}` needs one {{group}}, which stands for the part of a file's name that is the group, such as \"{{group}}_*\""
            ));
        }
        let mut parts = Vec::new();
        for (i, side) in text.split("{group}").enumerate() {
            if i > 0 {
                parts.push(Part::Group);
            }
            for (j, literal) in side.split('*').enumerate() {
                if j > 0 {
                    parts.push(Part::Any);
                }
                if !literal.is_empty() {
                    parts.push(Part::Literal(literal.to_owned()));
                }
            }
        }
        Ok(Self { text, parts })
    }
}

impl Pattern {
    /// The group of a name, which has characters; `None` when the name is another.
    pub fn group<'a>(&self, name: &'a str) -> Option<&'a str> {
        find(&self.parts, name, None)?.filter(|g| !g.is_empty())
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn find<'a>(parts: &[Part], rest: &'a str, group: Option<&'a str>) -> Option<Option<&'a str>> {
    let Some((first, others)) = parts.split_first() else {
        return rest.is_empty().then_some(group);
    };
    if let Part::Literal(literal) = first {
        return find(others, rest.strip_prefix(literal.as_str())?, group);
    }
    let ends = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
    for end in ends {
        let taken = if *first == Part::Group {
            Some(&rest[..end])
        } else {
            group
        };
        if taken == Some("") {
            continue;
        }
        if let Some(found) = find(others, &rest[end..], taken) {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_parts_of_names() {
        for (pattern, name, group) in [
            ("{group}_*", "anna_go_1", Some("anna")),
            ("*_{group}", "go_1_anna", Some("1_anna")),
            ("*-*-{group}", "go-1-ännä", Some("ännä")),
            ("{group}", "all", Some("all")),
            ("x{group}y*", "xay", Some("a")),
            ("{group}_*", "anna", None),
            ("{group}_*", "_go", None),
        ] {
            let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
            assert_eq!(pattern.group(name), group, "{pattern:?} {name}");
        }
        for wrong in ["*", "{group}{group}"] {
            let message = Pattern::try_from(wrong.to_owned()).unwrap_err();
            assert!(message.contains("needs one {group}"), "{message}");
        }
    }
}
