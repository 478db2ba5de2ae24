//! nginx as a plain reverse proxy with a key check: the floor to compare with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::child::Child;

const TEMPLATE: &str = include_str!("../nginx.conf");

/// Where nginx is installed.
pub fn find() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join("nginx")).find(|nginx| nginx.is_file());
    found.ok_or_else(|| {
        "nginx is not installed: every figure is told beside nginx's. Debian: apt-get install nginx-light".into()
    })
}

/// Starts it on `listen` in front of `engine` (both `host:port`), letting `key` in; its files stay in `folder`/nginx.
pub fn start(nginx: &Path, folder: &Path, listen: &str, engine: &str, key: &str) -> Result<Child> {
    let home = folder.join("nginx");
    fs::create_dir_all(&home)?;
    let settings = TEMPLATE.replace("{listen}", listen).replace("{engine}", engine).replace("{key}", key);
    fs::write(home.join("nginx.conf"), settings)?;
    let home = home.canonicalize()?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&home).arg("-c").arg(home.join("nginx.conf")).arg("-e").arg(home.join("error.log"));
    Child::start("nginx", &mut command, folder)
}
