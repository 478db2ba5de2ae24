//! A gateway of this process, or two processes of the real binary that are asked in turn, as one.

use std::ops::Deref;
use std::path::Path;

use crate::app::TestApp;
use crate::database::Backend;
use crate::process::Process;

pub enum Gateway {
    Here(Box<TestApp>),
    Two(Box<(Process, Process)>),
}

impl Gateway {
    /// In this process.
    pub async fn here(backend: Backend, more: &str) -> Gateway {
        Gateway::Here(Box::new(TestApp::on(backend, more).await))
    }

    /// Two processes on one PostgreSQL; `more` says which Redis they share.
    pub async fn two(more: &str) -> Gateway {
        let (one, other) = Process::two(more).await;
        Gateway::in_turn(one, other)
    }

    fn in_turn(mut one: Process, other: Process) -> Gateway {
        one.beside(other.url.clone());
        Gateway::Two(Box::new((one, other)))
    }

    /// The same, stopped in good order and started again.
    pub async fn restarted(self, more: &str) -> Gateway {
        match self {
            Gateway::Here(app) => {
                let (folder, database) = app.stop().await;
                Gateway::Here(Box::new(TestApp::in_folder(folder, database, more).await))
            }
            Gateway::Two(pair) => {
                let again = async |process: Process| {
                    process.signal("TERM");
                    let (code, folder, database) = process.ended().await;
                    assert_eq!(code, Some(0));
                    Process::in_folder(folder, database, more, &[]).await
                };
                let (one, other) = *pair;
                Gateway::in_turn(again(one).await, again(other).await)
            }
        }
    }

    pub fn folders(&self) -> Vec<&Path> {
        match self {
            Gateway::Here(app) => vec![app.folder.path()],
            Gateway::Two(pair) => vec![pair.0.folder.path(), pair.1.folder.path()],
        }
    }
}

impl Deref for Gateway {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        match self {
            Gateway::Here(app) => app,
            Gateway::Two(pair) => &pair.0,
        }
    }
}
