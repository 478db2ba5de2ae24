//! Who wins against whom.

use super::{Caption, INK, MUTED, Svg, WIDTH, short};

/// Share of wins of the line's model against the column's, ties counting half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    pub share: f64,
    pub duels: u64,
}

const LEFT: f64 = 200.0;
const TOP: f64 = 64.0;

/// One line and one column a model, in the order given.
pub fn matrix(caption: &Caption, names: &[String], cells: &[Vec<Option<Cell>>]) -> String {
    let side = ((WIDTH - LEFT - 4.0) / names.len().max(1) as f64).min(96.0);
    let tall = side.min(40.0);
    let mut svg = Svg::new(caption, TOP + tall * names.len() as f64 + 6.0);
    let most = ((side / 8.0) as usize).max(3);
    for (place, name) in names.iter().enumerate() {
        let x = LEFT + side * (place as f64 + 0.5);
        // Two heights, so that neighbours do not meet.
        let y = if place % 2 == 0 { TOP - 30.0 } else { TOP - 10.0 };
        svg.text((x, y), "middle", INK, &short(name, most * 2));
        svg.text((LEFT - 10.0, TOP + tall * (place as f64 + 0.5) + 5.0), "end", INK, &short(name, 26));
    }
    for (row, line) in cells.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let (x, y) = (LEFT + side * column as f64, TOP + tall * row as f64);
            let Some(cell) = cell else {
                let dash = if row == column { "" } else { "–" };
                svg.text((x + side / 2.0, y + tall / 2.0 + 5.0), "middle", MUTED, dash);
                continue;
            };
            // White to blue, skipping the middle shades, on which neither black nor white figures read well.
            let share = cell.share.clamp(0.0, 1.0);
            let depth = if share <= 0.5 { share * 0.9 } else { 0.6 + (share - 0.5) * 0.8 };
            let mix = |from: f64, to: f64| (from + (to - from) * depth).round() as u8;
            let fill = format!("rgb({},{},{})", mix(245.0, 0.0), mix(245.0, 0.0), mix(254.0, 145.0));
            svg.add(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
                side - 2.0,
                tall - 2.0
            ));
            let ink = if depth > 0.5 { "#ffffff" } else { INK };
            let text = format!("{:.0} %", cell.share * 100.0);
            svg.text((x + side / 2.0 - 1.0, y + tall / 2.0 + 4.0), "middle", ink, &text);
        }
    }
    svg.done()
}
