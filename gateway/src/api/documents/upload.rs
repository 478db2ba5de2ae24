//! A form as it comes: a file goes to the disk as it arrives, never whole into memory, within a size, a silence and a
//! pace; small fields are kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use multer::{Field, Multipart};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::form::Fields;
use crate::api::body;
use crate::config::{Config, Size};
use crate::error::{ApiError, ApiResult, short};

/// Bytes of a field that is no file, and fields of a form.
const FIELD: usize = 64 << 10;
const FIELDS: usize = 128;
/// Room of a form beside its file.
const BESIDE: u64 = 1 << 20;
/// Bytes a second that a client sends at least, on average.
const SLOWEST: f64 = 4096.0;

/// A file on the disk, on its way into a collection. Dropped before it is placed, it is deleted.
pub struct Incoming {
    path: Option<PathBuf>,
    /// SHA-256, in hexadecimal.
    pub hash: String,
    pub bytes: u64,
    /// Name and media type that the client gave.
    pub name: Option<String>,
    pub kind: Option<String>,
}

impl Incoming {
    /// Puts the file where it stays.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn place(mut self, to: &Path) -> std::io::Result<()> {
        if let Some(folder) = to.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        if let Some(path) = &self.path {
            tokio::fs::rename(path, to).await?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(%error, "an incoming file stays until it is tidied away");
        }
    }
}

/// What a form holds.
pub struct Upload {
    pub fields: Fields,
    pub file: Option<Incoming>,
}

/// The folder of files that are arriving, in the data folder.
pub fn folder(data: &Path) -> PathBuf {
    data.join("documents").join("incoming")
}

/// The patience that a client has left.
struct Pace {
    started: Instant,
    silence: Duration,
    received: usize,
}

impl Pace {
    async fn next<T>(&self, coming: impl Future<Output = multer::Result<T>>, limit: Size) -> ApiResult<T> {
        let earned = Duration::from_secs_f64(self.received as f64 / SLOWEST);
        let patience = self.silence.min((self.silence + earned).saturating_sub(self.started.elapsed()));
        let came = tokio::time::timeout(patience, coming).await.map_err(|_| ApiError::slow_body())?;
        came.map_err(|error| fault(&error, limit))
    }
}

fn fault(error: &multer::Error, limit: Size) -> ApiError {
    match error {
        multer::Error::StreamSizeExceeded { .. } => too_large(limit),
        multer::Error::FieldSizeExceeded { field_name, .. } => field_too_large(field_name.as_deref().unwrap_or("?")),
        _ => broken(),
    }
}

fn broken() -> ApiError {
    ApiError::bad_request(
        "Le formulaire (multipart/form-data) est incomplet ou mal formé.",
        "The form (multipart/form-data) is incomplete or malformed.",
    )
}

fn too_large(limit: Size) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "payload_too_large",
        format!("Le fichier dépasse {limit}."),
        format!("The file is larger than {limit}."),
    )
    .param("file")
}

fn field_too_large(name: &str) -> ApiError {
    let name = short(name);
    ApiError::bad_request(
        format!("Le champ « {name} » dépasse 64 Kio."),
        format!("The field “{name}” is larger than 64 KiB."),
    )
    .param(name)
}

/// Reads a form: `multipart/form-data`, or `application/x-www-form-urlencoded` without a file.
///
/// # Errors
/// 400 for a form that is broken, 408 for one that stalls, 413 for a file past `retrieval.ingestion.file_limit`, 415 for
/// anything else than a form.
pub async fn read(headers: &HeaderMap, body: Body, config: &Config, limit: Size) -> ApiResult<Upload> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let bytes = body::read(body::is_coded(headers), body, &config.server).await?;
        let mut fields = Fields::default();
        for (name, value) in url::form_urlencoded::parse(&bytes) {
            fields.take(&name, value.into_owned());
        }
        return Ok(Upload { fields, file: None });
    }
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Envoyez un formulaire multipart/form-data ou application/x-www-form-urlencoded.",
            "Send a form: multipart/form-data or application/x-www-form-urlencoded.",
        )
    })?;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit.0.saturating_add(BESIDE)) {
        drain(body, limit.0, config.server.body_timeout.0).await;
        return Err(too_large(limit));
    }
    let whole = multer::SizeLimit::new().whole_stream(limit.0.saturating_add(BESIDE));
    let constraints = multer::Constraints::new().size_limit(whole);
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let mut pace = Pace { started: Instant::now(), silence: config.server.body_timeout.0, received: 0 };
    let mut upload = Upload { fields: Fields::default(), file: None };
    let mut count = 0;
    while let Some(mut field) = pace.next(form.next_field(), limit).await? {
        count += 1;
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            _ if count > FIELDS => return Err(broken()),
            "file" if upload.file.is_some() => {
                return Err(
                    ApiError::bad_request("Un seul fichier par document.", "One file a document.").param("file")
                );
            }
            "file" => upload.file = Some(receive(&mut field, &mut pace, &config.data, limit).await?),
            _ => {
                let value = text(&mut field, &name, &mut pace, limit).await?;
                upload.fields.take(&name, value);
            }
        }
    }
    Ok(upload)
}

/// Takes in some of what nobody wants: a client that is still sending does not read its answer.
async fn drain(mut body: Body, most: u64, patience: Duration) {
    let mut taken = 0;
    let taking = async {
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, |piece| piece.len() as u64);
            if taken > most {
                return;
            }
        }
    };
    // Whoever is slower than that finds the connection closed.
    drop(tokio::time::timeout(patience, taking).await);
}

async fn text(field: &mut Field<'_>, name: &str, pace: &mut Pace, limit: Size) -> ApiResult<String> {
    let mut text: Vec<u8> = Vec::new();
    while let Some(piece) = piece(field, pace, limit).await? {
        text.extend_from_slice(&piece);
        if text.len() > FIELD {
            return Err(field_too_large(name));
        }
    }
    String::from_utf8(text).map_err(|_| {
        let name = short(name);
        ApiError::bad_request(
            format!("Le champ « {name} » n’est pas en UTF-8."),
            format!("The field “{name}” is not UTF-8."),
        )
        .param(name)
    })
}

async fn piece(field: &mut Field<'_>, pace: &mut Pace, limit: Size) -> ApiResult<Option<Bytes>> {
    let piece = pace.next(field.chunk(), limit).await?;
    pace.received += piece.as_ref().map_or(0, Bytes::len);
    Ok(piece)
}

/// Writes a file to the disk as it comes.
async fn receive(field: &mut Field<'_>, pace: &mut Pace, data: &Path, limit: Size) -> ApiResult<Incoming> {
    let folder = folder(data);
    tokio::fs::create_dir_all(&folder).await.map_err(ApiError::internal)?;
    let path = folder.join(uuid::Uuid::now_v7().simple().to_string());
    let mut incoming = Incoming {
        path: Some(path.clone()),
        hash: String::new(),
        bytes: 0,
        name: field.file_name().map(str::to_owned),
        kind: field.content_type().map(|kind| kind.essence_str().to_owned()),
    };
    let mut file = File::create_new(&path).await.map_err(ApiError::internal)?;
    let mut hash = Sha256::new();
    while let Some(piece) = piece(field, pace, limit).await? {
        incoming.bytes += piece.len() as u64;
        if incoming.bytes > limit.0 {
            // The little that may still come is taken in, so that the client reads its answer.
            continue;
        }
        hash.update(&piece);
        file.write_all(&piece).await.map_err(ApiError::internal)?;
    }
    if incoming.bytes > limit.0 {
        return Err(too_large(limit));
    }
    // On the disk before the database says that it is there.
    file.sync_all().await.map_err(ApiError::internal)?;
    incoming.hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(incoming)
}
