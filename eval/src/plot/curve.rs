//! A value month by month; a month that was not measured breaks the line.

use super::{BLUE, Caption, INK, MUTED, RULE, Svg, WIDTH};

/// One month: a value, its bounds if it has some; none when it was not measured, or is hidden.
#[derive(Clone, Debug)]
pub struct Point {
    pub label: String,
    pub value: Option<(f64, Option<(f64, f64)>)>,
    /// Said where there is no value.
    pub absent: &'static str,
}

const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 24.0;
const TALL: f64 = 190.0;

/// Draws from zero, so that heights compare.
pub fn curve(caption: &Caption, points: &[Point]) -> String {
    let bottom = TOP + TALL;
    let mut svg = Svg::new(caption, bottom + 34.0);
    let tops =
        points.iter().filter_map(|point| point.value).map(|(value, bounds)| bounds.map_or(value, |b| b.1.max(value)));
    let step = step(tops.fold(0.0, f64::max));
    let most = step * 4.0;
    let height = |value: f64| bottom - (value / most).clamp(0.0, 1.0) * TALL;
    for tick in 0..=4 {
        let value = step * f64::from(tick);
        svg.line((LEFT, height(value)), (WIDTH - RIGHT, height(value)), RULE, 1.0);
        svg.text((LEFT - 8.0, height(value) + 5.0), "end", MUTED, &format!("{value}").replace('.', ","));
    }
    let wide = (WIDTH - LEFT - RIGHT) / points.len().max(1) as f64;
    let middle = |place: usize| LEFT + wide * (place as f64 + 0.5);
    let mut last: Option<(f64, f64)> = None;
    for (place, point) in points.iter().enumerate() {
        let x = middle(place);
        svg.text((x, bottom + 22.0), "middle", MUTED, &point.label);
        let Some((value, bounds)) = point.value else {
            svg.text((x, bottom - 8.0), "middle", MUTED, point.absent);
            last = None;
            continue;
        };
        let y = height(value);
        if let Some(before) = last {
            svg.line(before, (x, y), BLUE, 2.5);
        }
        if let Some((low, high)) = bounds {
            svg.line((x, height(low)), (x, height(high)), BLUE, 1.5);
        }
        svg.add(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{BLUE}\"/>"));
        svg.text((x, y - 10.0), "middle", INK, &format!("{value}").replace('.', ","));
        last = Some((x, y));
    }
    svg.done()
}

/// A round step, four of which reach the top.
fn step(most: f64) -> f64 {
    if !(most.is_finite() && most > 0.0) {
        return 1.0;
    }
    let rough = most * 1.1 / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= rough);
    step.unwrap_or(rough)
}
