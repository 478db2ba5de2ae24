//! The first start: one administrator of the instance and one key, made once.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::keys::Holder;
use super::{Actor, Database, StoreError};
use crate::policy::key::{ApiKey, KeyId};
use crate::policy::role::Role;

/// What stands for the address of the first administrator.
pub const EMAIL: &str = "admin";

/// What the first start made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstAdmin {
    /// File that holds the key.
    pub path: PathBuf,
}

/// Makes the first administrator when the instance has none, and writes their key, readable by the owner only, to
/// `admin.key` in the data folder. Returns the file when it did. Of several processes that start at once on one
/// database, one does.
pub async fn ensure_first_admin(database: &Database, data: &Path) -> Result<Option<FirstAdmin>, StoreError> {
    let file = data.join("admin.key");
    let draft = data.join("admin.key.new");
    let at = |path: &Path, error: std::io::Error| StoreError::Other(format!("{}: {error}", path.display()));
    if admins(database).await? > 0 && !draft.exists() {
        return Ok(None);
    }
    std::fs::create_dir_all(data).map_err(|error| at(data, error))?;
    let mut change = database.change(Actor::START).await?;
    // The file is written before the commit and takes its name after: whatever stops us in between, either the key
    // does not exist or its file does.
    if let Some(left) = leftover(&draft).map_err(|error| at(&draft, error))? {
        if !change.holds_key(left).await? {
            std::fs::remove_file(&draft).map_err(|error| at(&draft, error))?;
        } else {
            std::fs::rename(&draft, &file).map_err(|error| at(&file, error))?;
            return Ok(Some(FirstAdmin { path: file }));
        }
    }
    if !change.lacks_admin().await? {
        return Ok(None);
    }
    let member = match change.member_by_email(EMAIL).await? {
        Some(id) => id,
        None => change.create_member(EMAIL, "Administration de l’instance", None).await?.id,
    };
    change.grant(member, Role::Admin, None, None).await?;
    let (_, key) = change.create_key(Holder::Member(member), "admin.key", None).await?;
    write_private(&draft, key.reveal()).map_err(|error| at(&draft, error))?;
    change.commit().await?;
    match std::fs::rename(&draft, &file) {
        // A second process in the same folder may have given it its name just before us.
        Err(error) if error.kind() != ErrorKind::NotFound || !file.exists() => Err(at(&file, error)),
        _ => Ok(Some(FirstAdmin { path: file })),
    }
}

async fn admins(database: &Database) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM grants WHERE role = 'admin'").fetch_one(database.pool()).await?)
}

/// The id of the key in a draft that an interrupted start left behind.
fn leftover(draft: &Path) -> std::io::Result<Option<KeyId>> {
    match std::fs::read(draft) {
        Ok(text) => match ApiKey::parse(text.trim_ascii()) {
            Some(key) => Ok(Some(key.id)),
            None => std::fs::remove_file(draft).map(|()| None),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, key: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

impl super::Change {
    async fn lacks_admin(&mut self) -> Result<bool, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM grants WHERE role = 'admin'").fetch_one(&mut *self.tx).await?;
        Ok(count == 0)
    }

    async fn holds_key(&mut self, id: KeyId) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar("SELECT COUNT(*) FROM keys WHERE public_id = $1").bind(id.as_str());
        let count: i64 = query.fetch_one(&mut *self.tx).await?;
        Ok(count > 0)
    }

    async fn member_by_email(&mut self, email: &str) -> Result<Option<i64>, StoreError> {
        let query = sqlx::query_scalar("SELECT id FROM members WHERE email = $1").bind(email);
        Ok(query.fetch_optional(&mut *self.tx).await?)
    }
}
