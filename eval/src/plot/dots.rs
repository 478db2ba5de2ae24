//! Points with their intervals, one a line: a profile, a ranking.

use super::{BLUE, Caption, INK, MUTED, RED, RULE, Svg, WIDTH, short};

/// One line.
#[derive(Clone, Debug)]
pub struct Dot {
    pub label: String,
    /// Estimate and bounds; none when there is no figure.
    pub at: Option<(f64, f64, f64)>,
    /// A threshold to show on the line.
    pub mark: Option<f64>,
    /// Said at its right, or in place of the figure.
    pub note: String,
}

/// What the horizontal axis spans.
#[derive(Clone, Debug)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
}

pub(super) const LEFT: f64 = 270.0;
pub(super) const SPAN: f64 = 340.0;
const ROW: f64 = 32.0;
const TOP: f64 = 12.0;

/// Draws lines in the order given.
pub fn dots(caption: &Caption, rows: &[Dot], axis: &Axis) -> String {
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = Svg::new(caption, bottom + 30.0);
    let extent = (axis.high - axis.low).max(f64::MIN_POSITIVE);
    let place = |value: f64| LEFT + ((value - axis.low) / extent).clamp(0.0, 1.0) * SPAN;
    for (at, label) in &axis.ticks {
        svg.line((place(*at), TOP), (place(*at), bottom), RULE, 1.0);
        svg.text((place(*at), bottom + 20.0), "middle", MUTED, label);
    }
    for (row, dot) in rows.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        svg.text((LEFT - 12.0, y + 5.0), "end", INK, &short(&dot.label, 34));
        if let Some(mark) = dot.mark {
            svg.line((place(mark), y - 12.0), (place(mark), y + 12.0), RED, 2.0);
        }
        match dot.at {
            Some((estimate, low, high)) => {
                svg.line((place(low), y), (place(high), y), BLUE, 2.5);
                for end in [low, high] {
                    svg.line((place(end), y - 6.0), (place(end), y + 6.0), BLUE, 2.5);
                }
                svg.add(format_args!(
                    "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5.5\" fill=\"{BLUE}\"/>",
                    place(estimate)
                ));
                svg.text((WIDTH - 4.0, y + 5.0), "end", INK, &dot.note);
            }
            None => svg.text((LEFT + 8.0, y + 5.0), "start", MUTED, &dot.note),
        }
    }
    svg.done()
}
