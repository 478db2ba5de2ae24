//! `guichet index`: the vector index moved to another engine, or made anew from the database.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use rag::index::{IndexError, Space, VectorIndex};

use super::{Failure, Outcome, Source};
use crate::config::Config;
use crate::config::retrieval::{Index, IndexKind};
use crate::retrieval::open_index;
use crate::store::Database;
use crate::store::reindex::Indexed;

/// Points carried at once.
const BATCH: usize = 500;

#[derive(Subcommand)]
pub enum Command {
    /// Carry all vectors from one engine to the other. Stop the gateway first, or nothing must be ingested meanwhile
    Migrate(Migrate),
    /// Empty the index, and put all chunks of the database into the queue to be embedded and indexed again. The database
    /// is the truth: what is lost or damaged in the index comes back
    Rebuild(Rebuild),
}

/// A vector engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Engine {
    /// The folder `index` of the data folder
    Edge,
    /// The Qdrant server of the configuration
    Server,
}

#[derive(Args)]
pub struct Migrate {
    /// Where they are
    #[arg(long)]
    from: Engine,
    /// Where they go. The server is the one that `retrieval.index` describes: write it before moving to it, and change
    /// it back after moving from it
    #[arg(long)]
    to: Engine,
    /// First remove what the other engine holds for these models
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub struct Rebuild {
    /// Only this collection, by its id
    #[arg(long, value_name = "ID")]
    collection: Option<i64>,
    #[command(flatten)]
    source: Source,
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Migrate(migrate) => migrate.run(out).await,
            Command::Rebuild(rebuild) => rebuild.run(out).await,
        }
    }
}

impl Migrate {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        if self.from == self.to {
            return Err(Failure("--from and --to name the same engine".to_owned()));
        }
        let (config, _) = self.source.read()?;
        let database = self.source.database().await?;
        if self.to == Engine::Server {
            may_hold(&config, &database.indexed_collections().await?)?;
        }
        let (from, to) = (open(&config, self.from).await?, open(&config, self.to).await?);
        let spaces = from.spaces().await?;
        for space in &spaces {
            if self.replace {
                to.drop_space(space).await?;
            }
            carry(from.as_ref(), to.as_ref(), space, out).await?;
        }
        writeln!(out, "{} moved.", models(spaces.len()))?;
        Ok(())
    }
}

/// Carries one space, and looks that all of it has come.
async fn carry(from: &dyn VectorIndex, to: &dyn VectorIndex, space: &Space, out: &mut impl Write) -> Outcome {
    let total = from.count(space).await?;
    let (mut after, mut carried) = (None, 0_u64);
    loop {
        let points = from.scroll(space, after, BATCH).await?;
        let Some(last) = points.last() else { break };
        after = Some(last.chunk);
        to.upsert(space, &points).await?;
        let before = carried;
        carried += points.len() as u64;
        if carried / 10_000 > before / 10_000 {
            writeln!(out, "{space}: {carried} of {total} chunks")?;
        }
    }
    to.maintain(space).await?;
    to.flush(space).await?;
    let there = to.count(space).await?;
    if there != carried || carried != total {
        let words = match there > carried {
            true => "the engine moved to held chunks of before; --replace removes them first",
            false => "chunks came or went meanwhile; stop the gateway and move again",
        };
        return Err(Failure(format!("{space}: {total} chunks were there, {there} are here: {words}")));
    }
    writeln!(out, "{space}: {carried} chunks")?;
    Ok(())
}

impl Rebuild {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        let (config, _) = self.source.read()?;
        let database = self.source.database().await?;
        let retrieval = config.retrieval.as_ref().ok_or_else(no_retrieval)?;
        let index = opened(open_index(&config, &retrieval.index).await)?;
        // Emptied first: what is indexed between the two is marked, and then marked as not indexed like all else.
        match self.collection {
            Some(id) => empty(&database, index.as_ref(), id).await?,
            None => {
                for space in index.spaces().await? {
                    index.drop_space(&space).await?;
                }
            }
        }
        let chunks = database.forget_indexed(self.collection).await?;
        writeln!(out, "{chunks} chunks wait to be embedded and indexed; `guichet serve` does it.")?;
        Ok(())
    }
}

async fn empty(database: &Database, index: &dyn VectorIndex, id: i64) -> Outcome {
    let unknown = || Failure(format!("there is no collection {id}"));
    let collections = database.indexed_collections().await?;
    let collection = collections.iter().find(|collection| collection.id == id).ok_or_else(unknown)?;
    let space = collection.space().ok_or_else(unknown)?;
    index.delete_collection(&space, u64::try_from(id).map_err(|_| unknown())?).await?;
    index.flush(&space).await?;
    Ok(())
}

impl Indexed {
    /// Where its chunks are.
    pub fn space(&self) -> Option<Space> {
        usize::try_from(self.dimensions).ok().map(|dimensions| Space::new(&self.embedding_model, dimensions))
    }
}

async fn open(config: &Config, engine: Engine) -> Result<Arc<dyn VectorIndex>, Failure> {
    let retrieval = config.retrieval.as_ref().ok_or_else(no_retrieval)?;
    match engine {
        Engine::Edge => opened(open_index(config, &Index::default()).await),
        Engine::Server if retrieval.index.kind == IndexKind::Server => {
            opened(open_index(config, &retrieval.index).await)
        }
        Engine::Server => Err(Failure(
            "retrieval.index describes no server: write its `kind: server`, `url` and `hosting`".to_owned(),
        )),
    }
}

fn opened(result: Result<Arc<dyn VectorIndex>, IndexError>) -> Result<Arc<dyn VectorIndex>, Failure> {
    result.map_err(|error| match error {
        IndexError::Locked(folder) => Failure(format!("the index in {folder} is in use: stop the gateway first")),
        error => Failure(error.to_string()),
    })
}

fn no_retrieval() -> Failure {
    Failure("the configuration has no section `retrieval`".to_owned())
}

/// Refuses to carry data to a hosting that its class may not reach.
fn may_hold(config: &Config, collections: &[Indexed]) -> Outcome {
    let name = config.retrieval.as_ref().and_then(|retrieval| retrieval.index.hosting.as_ref());
    let Some(hosting) = name.and_then(|name| config.hostings.get(name)) else {
        return Err(Failure("retrieval.index describes no server with a hosting".to_owned()));
    };
    let refused: Vec<&Indexed> =
        collections.iter().filter(|collection| !config.rule(collection.data_class).allows(hosting)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let classes: BTreeSet<&str> = refused.iter().map(|collection| collection.data_class.as_str()).collect();
    let classes: Vec<&str> = classes.into_iter().collect();
    let names: Vec<String> =
        refused.iter().take(10).map(|collection| format!("{} ({})", collection.name, collection.id)).collect();
    Err(Failure(format!(
        "the server ({hosting}) may not hold data of class {}: {} collections, among them {}",
        classes.join(", "),
        refused.len(),
        names.join(", ")
    )))
}

fn models(count: usize) -> String {
    match count {
        1 => "The vectors of 1 model".to_owned(),
        n => format!("The vectors of {n} models"),
    }
}

#[cfg(test)]
mod tests {
    use rag::index::edge::Edge;
    use rag::index::{Point, SparseVector};

    use super::*;

    fn point(chunk: u64) -> Point {
        let sparse = SparseVector { ids: vec![chunk as u32], weights: vec![1.0] };
        let metadata = serde_json::Map::from_iter([("rang".to_owned(), chunk.into())]);
        Point { chunk, collection: chunk % 3, document: chunk / 10, dense: vec![0.6, 0.8], sparse, metadata }
    }

    #[tokio::test]
    async fn all_of_a_space_is_carried_and_counted() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [from, to] = folders.each_ref().map(|folder| Edge::open(folder.path()).unwrap());
        let space = Space::new("essai", 2);
        let points: Vec<Point> = (1..=1_234).map(point).collect();
        from.upsert(&space, &points).await.unwrap();
        let mut out = Vec::new();
        carry(&from, &to, &space, &mut out).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{space}: 1234 chunks\n"));
        assert_eq!(to.scroll(&space, None, 2_000).await.unwrap(), from.scroll(&space, None, 2_000).await.unwrap());
        // Again: the same is there once.
        carry(&from, &to, &space, &mut Vec::new()).await.unwrap();
        // What was there before is told, not mixed in.
        to.upsert(&space, &[point(5_000)]).await.unwrap();
        let Failure(told) = carry(&from, &to, &space, &mut Vec::new()).await.unwrap_err();
        assert!(told.contains("1234 chunks were there, 1235 are here") && told.contains("--replace"), "{told}");
    }
}
