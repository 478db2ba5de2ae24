//! Counts by level.

use super::{BLUE, Caption, INK, MUTED, RULE, Svg, short};

/// One level, and how many answers; none when it is hidden.
#[derive(Clone, Debug)]
pub struct Bar {
    pub label: String,
    pub count: Option<u64>,
}

const LEFT: f64 = 270.0;
const SPAN: f64 = 390.0;
const ROW: f64 = 28.0;

/// Horizontal bars, whose labels can be long.
pub fn bars(caption: &Caption, bars: &[Bar]) -> String {
    let height = 8.0 + ROW * bars.len() as f64;
    let mut svg = Svg::new(caption, height + 4.0);
    let most = bars.iter().filter_map(|bar| bar.count).max().unwrap_or(0).max(1) as f64;
    svg.line((LEFT, 4.0), (LEFT, height), RULE, 1.0);
    for (row, bar) in bars.iter().enumerate() {
        let y = 6.0 + ROW * row as f64;
        svg.text((LEFT - 12.0, y + 16.0), "end", INK, &short(&bar.label, 34));
        match bar.count {
            Some(count) => {
                let width = count as f64 / most * SPAN;
                svg.add(format_args!(
                    "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"20\" fill=\"{BLUE}\"/>"
                ));
                svg.text((LEFT + width + 8.0, y + 15.0), "start", INK, &count.to_string());
            }
            None => svg.text((LEFT + 8.0, y + 15.0), "start", MUTED, "masqué"),
        }
    }
    svg.done()
}
