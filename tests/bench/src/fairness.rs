//! First come, first served beside the fair order, in a simulation with a seed: the same requests, the same engine, and
//! the very code that orders the gateway's lines.

mod plot;
mod simulation;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use self::simulation::{Asks, Load, Organization, Policy, Run, STEP_MS, Setting};
use crate::{Result, say};

#[derive(Args)]
pub struct Settings {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What B asks for, as a part of its share.
    #[arg(long, default_value_t = SHARE)]
    share: f64,
    /// Write the plot there.
    #[arg(long)]
    svg: Option<PathBuf>,
}

pub fn run(settings: &Settings) -> Result<()> {
    let study = Study::new(settings.seed, settings.share);
    say(&study.report());
    if let Some(file) = &settings.svg {
        std::fs::write(file, study.plot())?;
    }
    Ok(())
}

/// Eight slots at 40 tokens a second each; requests of 50 to 800 tokens in and 50 to 450 out.
const ENGINE: Setting = Setting { slots: 8, tokens_a_second: 40, input: (50, 800), output: (50, 450), seconds: 600 };

const SHARE: f64 = 0.5;

/// Mean time in a slot.
fn service_seconds() -> f64 {
    (ENGINE.output.0 + ENGINE.output.1) as f64 / 2.0 / ENGINE.tokens_a_second as f64
}

/// Requests a second that are half of what the engine can serve.
fn half() -> f64 {
    ENGINE.slots as f64 / service_seconds() / 2.0
}

struct Study {
    seed: u64,
    share: f64,
    alone: Run,
    /// B alone on an engine of half the slots: what its share would be worth walled off.
    walled_off: Run,
    first_come: Run,
    fair: Run,
    busy: Run,
}

const WEIGHTS: [u32; 2] = [3, 1];

impl Study {
    fn new(seed: u64, share: f64) -> Study {
        let flood = Organization { weight: 1, asks: Asks::EachSecond(10.0 * half()) };
        let quiet = Organization { weight: 1, asks: Asks::EachSecond(share * half()) };
        let none = Organization { asks: Asks::EachSecond(0.0), ..flood };
        let both = Load { seed, organizations: vec![flood, quiet] };
        let busy = WEIGHTS.map(|weight| Organization { weight, asks: Asks::AlwaysWaiting(20) });
        let only_quiet = Load { seed, organizations: vec![none, quiet] };
        let half_engine = Setting { slots: ENGINE.slots / 2, ..ENGINE };
        Study {
            seed,
            share,
            alone: simulation::run(&ENGINE, &only_quiet, Policy::fair()),
            walled_off: simulation::run(&half_engine, &only_quiet, Policy::fair()),
            first_come: simulation::run(&ENGINE, &both, Policy::first_come()),
            fair: simulation::run(&ENGINE, &both, Policy::fair()),
            busy: simulation::run(&ENGINE, &Load { seed, organizations: busy.to_vec() }, Policy::fair()),
        }
    }

    /// The largest difference, over any 60 s, between what two always-busy organizations were served, each divided by
    /// its weight; and the paper's bound on it.
    fn difference(&self) -> (f64, f64) {
        let window = 60_000 / STEP_MS as usize;
        let part = |at: usize| -> Vec<f64> {
            self.busy.served[at].iter().map(|tokens| *tokens as f64 / f64::from(WEIGHTS[at])).collect()
        };
        let (one, two) = (part(0), part(1));
        let largest = (0..one.len().saturating_sub(window))
            .map(|at| ((one[at + window] - one[at]) - (two[at + window] - two[at])).abs())
            .fold(0.0, f64::max);
        let held = ENGINE.slots as u64 * (ENGINE.input.1 + ENGINE.output.1);
        let smaller = f64::from(WEIGHTS[0].min(WEIGHTS[1]));
        (largest, 2.0 * held.max(ENGINE.input.1) as f64 / smaller)
    }

    fn report(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "seed {}, {} s; {} slots, {} tokens/s each; one service time: {:.2} s",
            self.seed,
            ENGINE.seconds,
            ENGINE.slots,
            ENGINE.tokens_a_second,
            service_seconds()
        );
        let _ = writeln!(out, "A floods at ten times its share, B asks for {} of its own.\n", self.share);
        let _ = writeln!(out, "| order | who | tokens served | served | turned away | p50 wait | p95 wait |");
        let _ = writeln!(out, "|---|---|--:|--:|--:|--:|--:|");
        let rows = [
            ("B alone", &self.alone),
            ("B alone on half of the slots", &self.walled_off),
            ("first come, first served", &self.first_come),
            ("fair", &self.fair),
        ];
        for (order, run) in rows {
            for (at, who) in ["A", "B"].iter().enumerate() {
                let waits = &run.waits[at];
                if waits.is_empty() {
                    continue;
                }
                let _ = writeln!(
                    out,
                    "| {order} | {who} | {} | {} | {} | {:.2} s | {:.2} s |",
                    run.served[at].last().copied().unwrap_or(0),
                    waits.len(),
                    run.turned_away[at],
                    percentile(waits, 50),
                    percentile(waits, 95)
                );
            }
        }
        let (largest, bound) = self.difference();
        let _ = writeln!(
            out,
            "\nTwo always busy, weights {}:{}: over any 60 s, the tokens served, each divided by its weight, differ by \
             {largest:.0} at most; the bound is {bound:.0}. Over all, {:.3} to 1.",
            WEIGHTS[0],
            WEIGHTS[1],
            self.busy.total(0) / self.busy.total(1)
        );
        let _ = write!(
            out,
            "Slots in use while somebody waits: {:.1} % first come, {:.1} % fair.",
            100.0 * self.first_come.used,
            100.0 * self.fair.used
        );
        out
    }

    fn plot(&self) -> String {
        let panel = |title, run| plot::Panel { title, run, names: ["A, ten times its share", "B, within its share"] };
        plot::draw(&[panel("First come, first served", &self.first_come), panel("Fair order", &self.fair)])
    }
}

/// In seconds.
fn percentile(waits: &[u64], percent: usize) -> f64 {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).map_or(0.0, |wait| *wait as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fair_order_keeps_what_the_paper_promises_whatever_the_seed() {
        for seed in 1..=10 {
            let study = Study::new(seed, SHARE);
            let beside = percentile(&study.fair.waits[1], 95);
            let alone = percentile(&study.alone.waits[1], 95);
            assert!(beside <= alone + service_seconds(), "seed {seed}: {beside} s beside the flood, {alone} s alone");
            assert_eq!(study.fair.turned_away[1], 0, "seed {seed}: all of B is served");
            let (largest, bound) = study.difference();
            assert!(largest <= bound, "seed {seed}: {largest} over {bound}");
            let ratio = study.busy.total(0) / study.busy.total(1);
            assert!((ratio - 3.0).abs() < 0.15, "seed {seed}: {ratio} to 1");
            assert_eq!((study.first_come.used, study.fair.used), (1.0, 1.0), "seed {seed}: no slot is idle");
            // What the comparison is about.
            assert!(percentile(&study.first_come.waits[1], 95) > 5.0 * beside, "seed {seed}");
        }
    }

    /// Asking for nearly all of its share, it waits as on slots of its own.
    #[test]
    fn near_its_share_the_quiet_waits_no_longer_than_on_slots_of_its_own() {
        for seed in 1..=10 {
            let study = Study::new(seed, 0.8);
            let beside = percentile(&study.fair.waits[1], 95);
            let apart = percentile(&study.walled_off.waits[1], 95);
            assert!(beside <= apart + service_seconds(), "seed {seed}: {beside} s beside the flood, {apart} s apart");
        }
    }

    #[test]
    fn the_plot_in_the_docs_is_what_the_simulation_draws() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fairness.svg");
        let drawn = std::fs::read_to_string(file).unwrap();
        assert!(
            drawn == Study::new(1, SHARE).plot(),
            "draw it again: cargo run -p guichet-bench -- fairness --svg docs/fairness.svg"
        );
    }

    #[test]
    fn the_figures_in_the_docs_are_the_simulations() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fairness.md")).unwrap();
        for line in Study::new(1, SHARE).report().lines().filter(|line| line.starts_with('|')) {
            assert!(page.contains(line), "docs/fairness.md lacks: {line}");
        }
    }
}
