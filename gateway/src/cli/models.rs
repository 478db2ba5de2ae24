//! `guichet models`: what is served, by whom, how healthy — asked of the engines now.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::{Failure, Outcome, Source};
use crate::config::DataClass;
use crate::fleet::Fleet;

#[derive(Args)]
pub struct Models {
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Models {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        let (config, origin) = self.source.read()?;
        let fleet = Fleet::new(&config, Arc::default()).map_err(|problems| Failure(problems.join("\n")))?;
        let well = fleet.ask_all().await;
        let models = fleet.visible(None);
        if self.json {
            let list: Vec<_> = models
                .iter()
                .map(|model| {
                    let deployments: Vec<_> = model
                        .deployments
                        .iter()
                        .map(|d| json!({"name": &*d.name, "engine": d.engine, "hosting": d.hosting, "well": well.contains(&d.name)}))
                        .collect();
                    json!({"id": &*model.id, "aliases": model.aliases, "type": model.kind.public(), "deployments": deployments})
                })
                .collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
            return Ok(());
        }
        if models.is_empty() {
            writeln!(out, "{origin}: no model is configured. `guichet init` looks for engines on this machine.")?;
        }
        for model in models {
            let aliases =
                if model.aliases.is_empty() { String::new() } else { format!(" (also {})", model.aliases.join(", ")) };
            writeln!(out, "{}{aliases}: {}", model.id, model.kind.public())?;
            for d in &model.deployments {
                let state = if well.contains(&d.name) { "answers" } else { "does not answer" };
                let classes: Vec<&str> =
                    DataClass::ALL.into_iter().filter(|c| d.allows(*c)).map(DataClass::as_str).collect();
                writeln!(
                    out,
                    "  {} {state}; {:?}, {} at once; {}; open to {} data",
                    d.name,
                    d.engine,
                    d.capacity,
                    d.hosting_text,
                    classes.join(", ")
                )?;
            }
        }
        Ok(())
    }
}
