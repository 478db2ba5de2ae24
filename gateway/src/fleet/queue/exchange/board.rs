//! The common totals in Redis or Valkey: one script, one round trip.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, Script};

use super::{Entry, Round};

/// A replica that has said nothing for so long lives no more, and the others take its slots.
const LEASE: Duration = Duration::from_secs(3);

/// What one round may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Named by version: replicas of two versions do not misread each other. One tag, so that both are on one node.
const REPLICAS: &str = "{guichet:queue:1}:replicas";
const SERVED: &str = "{guichet:queue:1}:served";

/// Numbers of an answer before the totals: epoch, rank, replicas.
const HEAD: usize = 3;

pub struct Board {
    client: Client,
    connection: Option<MultiplexedConnection>,
    script: Script,
    replica: String,
    epoch: i64,
}

impl Board {
    /// The error is told without the URL.
    pub fn new(url: &str) -> Result<Board, String> {
        let client = Client::open(url).map_err(|error| error.to_string())?;
        let number = getrandom::u64().map_err(|error| error.to_string())?;
        Ok(Board {
            client,
            connection: None,
            script: Script::new(include_str!("exchange.lua")),
            replica: format!("{number:016x}"),
            // A Lua number holds 53 bits.
            epoch: i64::try_from(number >> 12).unwrap_or(1),
        })
    }

    /// Tells, and hears the totals. Connects when it must.
    pub async fn round(&mut self, letter: &[(Entry, i64)]) -> RedisResult<Round> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(PATIENCE))
                    .set_response_timeout(Some(PATIENCE));
                self.client.get_multiplexed_async_connection_with_config(&config).await?
            }
        };
        let mut call = self.script.prepare_invoke();
        call.key(REPLICAS).key(SERVED);
        call.arg(&self.replica).arg(LEASE.as_millis().to_string()).arg(self.epoch);
        for (Entry { model, organization, lane }, tokens) in letter {
            call.arg(format!("{organization}:{}:{model}", lane.as_str())).arg(*tokens);
        }
        let answer: Vec<i64> = call.invoke_async(&mut connection).await?;
        let round = read(&answer, letter.len())
            .ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, "not the answer of this script")))?;
        self.connection = Some(connection);
        Ok(round)
    }
}

fn read(answer: &[i64], told: usize) -> Option<Round> {
    let [epoch, rank, replicas, totals @ ..] = answer else { return None };
    (answer.len() == HEAD + told).then_some(Round {
        epoch: *epoch,
        totals: totals.to_vec(),
        rank: u32::try_from(*rank).ok()?,
        replicas: u32::try_from(*replicas).ok()?,
    })
}
