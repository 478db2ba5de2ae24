//! `guichet check-config`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Outcome, told};
use crate::config::{self, DataClass, Origin};

#[derive(Args)]
pub struct CheckConfig {
    /// File to check. Default: the one `serve` would take
    #[arg(conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The same, as the other commands name it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell the problems as JSON
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    pub fn run(&self, out: &mut impl Write) -> Outcome {
        let origin = Origin::find(self.file.as_deref().or(self.config.as_deref()));
        match config::load(&origin) {
            Ok(config) => {
                if self.json {
                    writeln!(out, "[]")?;
                    return Ok(());
                }
                let deployments: usize = config.models.iter().map(|model| model.deployments.len()).sum();
                writeln!(
                    out,
                    "{origin}: no problem; {}, {}.",
                    count(config.models.len(), "model"),
                    count(deployments, "deployment")
                )?;
                for class in DataClass::ALL {
                    let rule = config.rule(class);
                    let open = config.hostings.iter().filter(|(_, hosting)| rule.allows(hosting));
                    let names: Vec<&str> = open.map(|(name, _)| name.as_str()).collect();
                    let list = if names.is_empty() { "no hosting".to_owned() } else { names.join(", ") };
                    writeln!(out, "  {} data may reach: {list}", class.as_str())?;
                }
                Ok(())
            }
            Err(problems) => {
                if self.json {
                    writeln!(out, "{}", serde_json::to_string_pretty(&problems)?)?;
                }
                Err(Failure(told(&problems)))
            }
        }
    }
}

/// `1 model`, `2 models`.
fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
