//! Plots as inline SVG: no script, no outside asset, readable in print and in shades of grey.
//!
//! Each has a title and a description for those who do not see it; the page around it carries the same figures as a table.

mod bars;
mod curve;
mod dots;
mod matrix;

use std::fmt::Write;

pub use bars::{Bar, bars};
pub use curve::{Point, curve};
pub use dots::{Axis, Dot, dots};
pub use matrix::{Cell, matrix};

/// What a plot is called, and what it says to those who do not see it.
#[derive(Clone, Debug)]
pub struct Caption {
    /// Unique in its page.
    pub id: String,
    pub title: String,
    pub description: String,
}

const WIDTH: f64 = 760.0;
const INK: &str = "#161616";
const MUTED: &str = "#666666";
const RULE: &str = "#dddddd";
const BLUE: &str = "#000091";
const RED: &str = "#ce0500";

/// A drawing in the making.
struct Svg(String);

impl Svg {
    fn new(caption: &Caption, height: f64) -> Svg {
        let (id, title, description) = (escaped(&caption.id), escaped(&caption.title), escaped(&caption.description));
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\" font-family=\"Marianne, Arial, sans-serif\" font-size=\"14\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"
        ))
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(element);
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        self.add(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    fn text(&mut self, at: (f64, f64), anchor: &str, colour: &str, text: &str) {
        self.add(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
            at.0,
            at.1,
            escaped(text)
        ));
    }

    fn done(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// Text that is no markup, in content and in attributes.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not allowed in XML, and of no use in HTML.
            sign if sign.is_control() && !matches!(sign, '\n' | '\t') => safe.push(' '),
            sign => safe.push(sign),
        }
    }
    safe
}

/// A label that fits, cut with an ellipsis.
fn short(label: &str, most: usize) -> String {
    if label.chars().count() <= most {
        return label.to_owned();
    }
    let mut cut: String = label.chars().take(most.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caption() -> Caption {
        Caption { id: "p".to_owned(), title: "T <1>".to_owned(), description: "D & d".to_owned() }
    }

    #[test]
    fn plots_are_captioned_hold_their_figures_and_no_markup_of_others() {
        let dot = |label: &str, at| Dot { label: label.to_owned(), at, mark: None, note: "n = 3".to_owned() };
        let axis = Axis { low: 0.0, high: 1.0, ticks: vec![(0.0, "0".to_owned()), (1.0, "1".to_owned())] };
        let drawn = [
            dots(&caption(), &[dot("<script>", Some((0.5, 0.4, 0.6))), dot("rien", None)], &axis),
            bars(
                &caption(),
                &[Bar { label: "<script>".to_owned(), count: Some(3) }, Bar { label: "b".into(), count: None }],
            ),
            curve(
                &caption(),
                &[
                    Point { label: "<script>".to_owned(), value: Some((1.0, None)), absent: "" },
                    Point { label: "b".into(), value: None, absent: "masqué" },
                ],
            ),
            matrix(
                &caption(),
                &["<script>".to_owned(), "b".to_owned()],
                &[vec![None, Some(Cell { share: 0.5, duels: 4 })], vec![None, None]],
            ),
        ];
        for svg in drawn {
            assert!(svg.contains("<title id=\"p-t\">T &lt;1&gt;</title><desc id=\"p-d\">D &amp; d</desc>"), "{svg}");
            assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script"), "{svg}");
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn an_interval_is_drawn_where_it_is() {
        let dot = Dot { label: "a".to_owned(), at: Some((0.5, 0.25, 1.0)), mark: Some(0.75), note: String::new() };
        let axis = Axis { low: 0.0, high: 1.0, ticks: Vec::new() };
        let svg = dots(&caption(), &[dot], &axis);
        let place = |share: f64| format!("{:.1}", dots::LEFT + share * dots::SPAN);
        assert!(svg.contains(&format!("cx=\"{}\"", place(0.5))), "{svg}");
        assert!(
            svg.contains(&format!("x1=\"{}\"", place(0.25))) && svg.contains(&format!("x2=\"{}\"", place(1.0))),
            "{svg}"
        );
        assert_eq!((short("abcdef", 4), short("abc", 4)), ("abc…".to_owned(), "abc".to_owned()));
    }
}
