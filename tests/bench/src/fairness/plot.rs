//! Tokens served over time, as a small SVG that reads in black and white too.

use std::fmt::Write as _;

use super::simulation::{Run, STEP_MS};

pub struct Panel<'r> {
    pub title: &'r str,
    pub run: &'r Run,
    pub names: [&'r str; 2],
}

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 220.0;
const TOP: f64 = 50.0;
const LEFT: f64 = 60.0;
const GAP: f64 = 70.0;
/// Steps between two points of a line.
const EVERY: usize = 10_000 / STEP_MS as usize;
const STROKES: [&str; 2] = [r##"stroke="#c9191e""##, r##"stroke="#000091" stroke-dasharray="7 3""##];

pub fn draw(panels: &[Panel<'_>]) -> String {
    let most = panels.iter().flat_map(|panel| &panel.run.served).filter_map(|line| line.last()).max();
    // The axis ends on a round number above all that was served.
    let top = most.copied().unwrap_or(0).div_ceil(200_000).max(1) * 200_000;
    let width = LEFT + panels.len() as f64 * (WIDTH + GAP);
    let height = TOP + HEIGHT + 60.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\">\n<title>Tokens served over time, first come first served and in the fair \
         order</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        one(&mut out, panel, LEFT + at as f64 * (WIDTH + GAP), top);
    }
    out.push_str("</svg>\n");
    out
}

fn one(out: &mut String, panel: &Panel<'_>, left: f64, top: u64) {
    let bottom = TOP + HEIGHT;
    let steps = panel.run.served.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let x = |step: usize| left + WIDTH * step as f64 / steps as f64;
    let y = |tokens: u64| bottom - HEIGHT * tokens as f64 / top as f64;
    let _ =
        writeln!(out, "<text x=\"{left:.0}\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>", panel.title);
    for quarter in 0..=4 {
        let (tokens, step) = (top * quarter / 4, steps * quarter as usize / 4);
        let (level, along) = (y(tokens), x(step));
        let _ = writeln!(
            out,
            "<path d=\"M{left:.0} {level:.1}h{WIDTH:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}k</text><text x=\"{along:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{} s</text>",
            left - 6.0,
            level + 4.0,
            tokens / 1_000,
            bottom + 18.0,
            step as u64 * STEP_MS / 1_000
        );
    }
    for (line, (name, stroke)) in panel.run.served.iter().zip(panel.names.iter().zip(STROKES)) {
        let mut path = String::new();
        let last = line.len().saturating_sub(1);
        for (step, tokens) in line.iter().enumerate().filter(|(step, _)| step % EVERY == 0 || *step == last) {
            let _ = write!(path, "{}{:.1} {:.1}", if step == 0 { 'M' } else { 'L' }, x(step), y(*tokens));
        }
        let end = line.last().copied().unwrap_or(0);
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke-width=\"2.5\" {stroke}/>");
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" stroke=\"#fff\" stroke-width=\"3\" \
             paint-order=\"stroke\">{name}</text>",
            left + WIDTH - 8.0,
            y(end) - 12.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">tokens served over time</text>",
        left + WIDTH / 2.0,
        bottom + 42.0
    );
}
