//! The measurements beside the figures to reach, as a table for people and as JSON.

use serde_json::{Value, json};

use crate::run::{Measured, Round, Side};
use crate::stats::{median, range};

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// How the three figures of one round become the one that is judged.
#[derive(Clone, Copy)]
struct Judge {
    unit: &'static str,
    digits: usize,
    /// From direct, nginx, gateway.
    read: fn(f64, f64, f64) -> f64,
}

/// nginx's part is at least a microsecond: below that, noise is all there is to divide by.
const ADDED: Judge = Judge { unit: "× added by nginx", digits: 2, read: |d, n, g| (g - d) / (n - d).max(1.0) };
const SHARE: Judge = Judge { unit: "% of nginx", digits: 0, read: |_, n, g| 100.0 * g / n };
const MORE: Judge = Judge { unit: "ms over nginx", digits: 2, read: |_, n, g| g - n };
const MICROSECONDS: Judge = Judge { unit: "µs", digits: 1, read: |_, _, g| g };
const PERCENT: Judge = Judge { unit: "%", digits: 1, read: |_, _, g| g };

/// One line: what each side showed, and the figure that is judged, once a round.
struct Row {
    name: String,
    unit: &'static str,
    digits: usize,
    /// direct, nginx, gateway: medians over the rounds.
    sides: [Option<f64>; 3],
    judged: Vec<f64>,
    judge: Judge,
    goal: Option<Goal>,
    beyond: Option<f64>,
}

impl Goal {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(limit) => ("≤", limit),
            Self::AtLeast(limit) => ("≥", limit),
        }
    }
}

impl Row {
    fn new(name: impl Into<String>, unit: &'static str, digits: usize, judged: Vec<f64>) -> Self {
        let sides = [None, None, Some(median(&judged))];
        let judge = Judge { unit, digits, read: |_, _, gateway| gateway };
        Self { name: name.into(), unit, digits, sides, judged, judge, goal: None, beyond: None }
    }

    /// A line read from each side of each round; the figure compares sides of the same round.
    fn beside(
        name: impl Into<String>,
        unit: &'static str,
        digits: usize,
        rounds: &[Round],
        read: impl Fn(&Side) -> f64,
        judge: Judge,
    ) -> Self {
        let each = |side: fn(&Round) -> &Side| rounds.iter().map(|round| read(side(round))).collect::<Vec<f64>>();
        let (direct, nginx, gateway) = (each(|r| &r.direct), each(|r| &r.nginx), each(|r| &r.gateway));
        let judged = (0..rounds.len()).map(|i| (judge.read)(direct[i], nginx[i], gateway[i])).collect();
        let sides = [direct, nginx, gateway].map(|values| Some(median(&values)));
        Self { name: name.into(), unit, digits, sides, judged, judge, goal: None, beyond: None }
    }

    fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    fn beyond(mut self, limit: f64) -> Self {
        self.beyond = Some(limit);
        self
    }

    fn verdict(&self) -> &'static str {
        let value = median(&self.judged);
        let Some(goal) = self.goal else { return "" };
        let further = self.beyond.map(|limit| match goal {
            Goal::AtMost(_) => Goal::AtMost(limit),
            Goal::AtLeast(_) => Goal::AtLeast(limit),
        });
        match (goal.reached(value), further.is_some_and(|goal| goal.reached(value))) {
            (true, true) => "reached, goal beyond too",
            (true, false) => "reached",
            (false, _) => "**not reached**",
        }
    }

    fn markdown(&self) -> String {
        let number = |value: f64, digits: usize| match value.is_finite() {
            true => format!("{value:.digits$}"),
            false => "–".to_owned(),
        };
        let side = |value: Option<f64>| value.map_or_else(String::new, |value| number(value, self.digits));
        let figure = |value: f64| number(value, self.judge.digits);
        let (low, high) = range(&self.judged);
        let noise = if self.judged.len() > 1 { format!("{}–{}", figure(low), figure(high)) } else { String::new() };
        let goal = self.goal.map_or_else(String::new, |goal| {
            let (sign, limit) = goal.parts();
            let beyond = self.beyond.map_or_else(String::new, |limit| format!(" (goal {limit})"));
            format!("{sign} {limit}{beyond}")
        });
        let [direct, nginx, gateway] = self.sides.map(side);
        let (name, unit, judged) = (&self.name, self.unit, figure(median(&self.judged)));
        let (judged_unit, verdict) = (self.judge.unit, self.verdict());
        format!(
            "| {name}, {unit} | {direct} | {nginx} | {gateway} | {judged} {judged_unit} | {goal} | {verdict} | {noise} |"
        )
    }

    fn json(&self) -> Value {
        let (low, high) = range(&self.judged);
        json!({
            "name": self.name, "unit": self.unit,
            "direct": self.sides[0], "nginx": self.sides[1], "gateway": self.sides[2],
            "figure": median(&self.judged), "figure_unit": self.judge.unit, "min": low, "max": high,
            "limit": self.goal.map(|goal| goal.parts().1),
            "reached": self.goal.map(|goal| goal.reached(median(&self.judged))),
        })
    }
}

fn rows(measured: &Measured) -> Vec<Row> {
    use Goal::{AtLeast, AtMost};
    let rounds = &measured.rounds;
    let (alone, few, many) = (0, 1, 2);
    let latency = |index: usize| move |side: &Side| side.unary[index].latency_us.p50;
    let mut rows = vec![
        Row::beside("latency p50, 1 client", "µs", 0, rounds, latency(alone), ADDED).goal(AtMost(2.0)),
        Row::beside("latency p50, 16 clients", "µs", 0, rounds, latency(few), ADDED),
        Row::beside("throughput, 64 clients", "requests/s", 0, rounds, |s| s.unary[many].requests_per_second, SHARE)
            .goal(AtLeast(60.0))
            .beyond(75.0),
        Row::beside("CPU a request, 64 clients", "µs", 1, rounds, |s| s.unary[many].cpu_us_per_request, MICROSECONDS)
            .goal(AtMost(75.0))
            .beyond(55.0),
        Row::beside("first chunk p50", "ms", 1, rounds, |s| s.stream.first_chunk_us.p50 / 1e3, MORE),
        Row::beside("chunk lag p50", "ms", 2, rounds, |s| s.stream.lag_us.p50 / 1e3, MORE),
        Row::beside("chunk lag p99", "ms", 2, rounds, |s| s.stream.lag_us.p99 / 1e3, MORE).goal(AtMost(0.5)),
        Row::beside("CPU a chunk", "µs", 1, rounds, |s| s.stream.cpu_us_per_chunk, MICROSECONDS).goal(AtMost(45.0)),
        Row::new("start to first answer", "s", 3, measured.starts_s.clone()).goal(AtMost(0.2)),
        Row::new("memory, idle", "MiB", 1, vec![measured.idle_mib]).goal(AtMost(40.0)),
    ];
    let streams = rounds.first().map_or(0, |round| round.gateway.stream.streams);
    let whole = |side: &Side| 100.0 * side.stream.whole as f64 / side.stream.streams as f64;
    let name = format!("whole streams of {streams}");
    rows.insert(4, Row::beside(name, "%", 0, rounds, whole, PERCENT).goal(AtLeast(100.0)));
    if let Some(soak) = &measured.soak {
        // A leak of 10 bytes a request would be 1.9 MiB over 200,000.
        let name = format!("memory growth over {} requests", soak.requests);
        rows.push(Row::new(name, "MiB", 1, vec![soak.growth_mib()]).goal(AtMost(2.0)));
    }
    if let Some(idle) = &measured.idle {
        let name = format!("memory, {} idle-ish streams open", idle.streams);
        rows.push(Row::new(name, "MiB", 1, vec![idle.open_mib]).goal(AtMost(200.0)));
        rows.push(Row::new("the same, 3 s after all clients left", "MiB", 1, vec![idle.after_mib]));
        let released = idle.released_s.unwrap_or(f64::INFINITY);
        rows.push(
            Row::new("hang-up of all to the end of the last engine call", "s", 2, vec![released]).goal(AtMost(1.0)),
        );
    }
    rows
}

/// The table, in Markdown.
pub fn markdown(measured: &Measured) -> String {
    let mut lines = vec![
        format!("{}; medians of {} rounds, noise as min–max.", measured.machine, measured.rounds.len()),
        String::new(),
        "| | direct | nginx | gateway | figure | to reach | | noise |".to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(rows(measured).iter().map(Row::markdown));
    lines.extend(measured.notes.iter().map(|note| format!("\n{note}")));
    lines.join("\n")
}

/// Everything that was measured.
pub fn json(measured: &Measured) -> Value {
    let mut value = json!(measured);
    value["figures"] = rows(measured).iter().map(Row::json).collect();
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(judged: &[f64]) -> Row {
        Row::new("throughput", "%", 0, judged.to_vec()).goal(Goal::AtLeast(60.0)).beyond(75.0)
    }

    #[test]
    fn a_line_tells_figure_limit_verdict_and_noise() {
        assert_eq!(
            row(&[58.0, 66.0, 61.0]).markdown(),
            "| throughput, % |  |  | 61 | 61 % | ≥ 60 (goal 75) | reached | 58–66 |"
        );
        assert_eq!(row(&[80.0]).verdict(), "reached, goal beyond too");
        assert_eq!(row(&[59.9]).verdict(), "**not reached**");
        assert_eq!(row(&[f64::NAN]).verdict(), "**not reached**");
    }

    #[test]
    fn a_hang_up_that_never_arrived_is_not_reached() {
        let row = Row::new("hang-up", "s", 2, vec![f64::INFINITY]).goal(Goal::AtMost(1.0));
        assert_eq!(row.verdict(), "**not reached**");
    }
}
