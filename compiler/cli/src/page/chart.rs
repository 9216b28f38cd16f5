//! Pictures of pages: SVG whose colours are those of the page, light or dark.

use anyhow::{Context, Result};
use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;

pub const FONT: &str = "sans-serif";

/// Stands for the colour of text.
pub const INK: RGBColor = RGBColor(1, 0, 0);
/// Stands for that of axes and notes.
pub const QUIET: RGBColor = RGBColor(2, 0, 0);
/// Stands for that of grids.
pub const GRID: RGBColor = RGBColor(3, 0, 0);
/// Stands for that of what is fine.
pub const GOOD: RGBColor = RGBColor(4, 0, 0);
/// Stands for that of what is not.
pub const BAD: RGBColor = RGBColor(5, 0, 0);
/// Stands for that of what has no colour of its own.
const OTHER: RGBColor = RGBColor(6, 0, 0);
/// Colours of series.
const SERIES: u8 = 6;

/// The colour of the series with this rank.
pub fn series(rank: usize) -> RGBColor {
    match u8::try_from(rank) {
        Ok(k) if k < SERIES => RGBColor(16 + k, 0, 0),
        _ => OTHER,
    }
}

/// The class that fills with the colour of a series.
pub fn fill(rank: usize) -> String {
    if rank < usize::from(SERIES) {
        format!("fill-{rank}")
    } else {
        "fill-other".to_owned()
    }
}

/// What a picture is drawn on.
pub type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a picture of this many pixels, that has a name for those who do not see it.
pub fn picture(
    name: &str,
    size: (u32, u32),
    draw: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<Markup> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).with_context(|| format!("cannot draw {name}"))?;
        area.present()
            .with_context(|| format!("cannot draw {name}"))?;
    }
    let inside = svg
        .split_once('>')
        .and_then(|(_, rest)| rest.rsplit_once("</svg>"))
        .map_or("", |(inside, _)| inside);
    let mut inside = inside.to_owned();
    let named = [
        (INK, "ink".to_owned()),
        (QUIET, "quiet".to_owned()),
        (GRID, "grid".to_owned()),
        (GOOD, "good".to_owned()),
        (BAD, "bad".to_owned()),
        (OTHER, "series-other".to_owned()),
    ];
    let series = (0..SERIES).map(|k| (series(usize::from(k)), format!("series-{k}")));
    for (colour, name) in named.into_iter().chain(series) {
        let drawn = format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
        inside = inside.replace(&drawn, &format!("\"var(--{name})\""));
    }
    Ok(html! {
        svg.wide[size.0 > 700] viewBox=(format!("0 0 {} {}", size.0, size.1)) role="img" {
            title { (name) }
            (PreEscaped(inside))
        }
    })
}

/// A picture as a file of its own, in the colours of a light page.
pub fn alone(picture: &Markup) -> String {
    let variables = super::STYLE
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let colours = variables.map_or("", |(colours, _)| colours);
    let style = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" style=\"background: #fff\"$1><style>:root {{{colours}}} text {{ font-family: sans-serif; }}</style>"
    );
    let text = picture.0.as_str();
    match text
        .strip_prefix("<svg")
        .and_then(|rest| rest.split_once('>'))
    {
        Some((attributes, inside)) => style.replacen("$1", attributes, 1) + inside,
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_page() {
        let drawn = picture("a <dot>", (100, 50), |area| {
            area.draw(&Circle::new((50, 25), 5, series(2).filled()))?;
            area.draw(&Circle::new((50, 25), 7, series(77)))?;
            let label = ("x < y", 12).into_font().color(&INK);
            area.draw(&Text::new("x < y", (1, 1), label))?;
            Ok(())
        })
        .unwrap()
        .into_string();
        for word in [
            "var(--series-2)",
            "var(--series-other)",
            "var(--ink)",
            "viewBox=\"0 0 100 50\"",
            "<title>a &lt;dot&gt;</title>",
            "x &lt; y",
        ] {
            assert!(drawn.contains(word), "no {word} in {drawn}");
        }
        assert!(!drawn.contains("\"#"), "{drawn}");
        let alone = alone(&PreEscaped(drawn));
        assert!(
            alone.starts_with("<svg xmlns=")
                && alone.contains("--ink: #")
                && alone.contains("x &lt; y"),
            "{alone}"
        );
    }
}
