//! Reading a history: a folder or a tar of it, with limits, since a history may come from anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{FORMAT, History, HistoryError, Manifest};

/// The most that one file of a history may hold, unpacked.
const LIMIT_MIB: u64 = 512;
const FILES: [&str; 5] = ["manifest.json", "exam.yaml", "checks.yaml", "requirements.json", "events.jsonl.zst"];

impl History {
    /// Reads the history in a folder, or in a tar of the folder.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let mut files = if path.is_dir() { from_folder(path)? } else { from_tar(path)? };
        let mut take = |name: &str| {
            files.remove(name).ok_or_else(|| HistoryError::File {
                path: path.join(name),
                source: std::io::Error::new(std::io::ErrorKind::NotFound, "the history has no such file"),
            })
        };
        let manifest = take("manifest.json")?;
        // The format comes first: a newer manifest may have fields that this program does not know.
        let Format { format } = json("manifest.json", &manifest)?;
        if format > FORMAT {
            return Err(HistoryError::Newer { found: format });
        }
        let manifest: Manifest = json("manifest.json", &manifest)?;
        let requirements: BTreeMap<String, String> = json("requirements.json", &take("requirements.json")?)?;
        let exam = text("exam.yaml", take("exam.yaml")?)?;
        let checks = text("checks.yaml", take("checks.yaml")?)?;
        let (events, truncated) = events(&take("events.jsonl.zst")?)?;
        Ok(Self { manifest, events, exam, checks, requirements, truncated })
    }
}

#[derive(serde::Deserialize)]
struct Format {
    format: u32,
}

fn from_folder(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, HistoryError> {
    let mut files = BTreeMap::new();
    for name in FILES {
        let path = folder.join(name);
        let file = File::open(&path).map_err(HistoryError::file(&path))?;
        files.insert(name.to_owned(), limited(name, file)?);
    }
    Ok(files)
}

fn from_tar(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, HistoryError> {
    let mut file = File::open(path).map_err(HistoryError::file(path))?;
    let mut start = [0; 2];
    let length = file.read(&mut start).map_err(HistoryError::file(path))?;
    file.seek(SeekFrom::Start(0)).map_err(HistoryError::file(path))?;
    let gzip = start[..length] == [0x1f, 0x8b];
    let stream: Box<dyn Read> = if gzip { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(stream.take(LIMIT_MIB << 20));
    for entry in archive.entries().map_err(HistoryError::file(path))? {
        let entry = entry.map_err(HistoryError::file(path))?;
        let name = entry.path().ok().and_then(|inside| inside.file_name()?.to_str().map(str::to_owned));
        if let Some(name) = name.filter(|name| FILES.contains(&name.as_str())) {
            let content = limited(&name, entry)?;
            files.insert(name, content);
        }
    }
    Ok(files)
}

fn limited(name: &str, reader: impl Read) -> Result<Vec<u8>, HistoryError> {
    let mut content = Vec::new();
    reader.take((LIMIT_MIB << 20) + 1).read_to_end(&mut content).map_err(HistoryError::file(name))?;
    if content.len() as u64 > LIMIT_MIB << 20 {
        return Err(HistoryError::TooLarge { file: name.to_owned(), limit_mib: LIMIT_MIB });
    }
    Ok(content)
}

fn json<T: DeserializeOwned>(file: &str, content: &[u8]) -> Result<T, HistoryError> {
    serde_json::from_slice(content).map_err(|error| malformed(file, error.line(), error.column(), &error))
}

fn text(file: &str, content: Vec<u8>) -> Result<String, HistoryError> {
    String::from_utf8(content).map_err(|error| malformed(file, 1, 1, &error.utf8_error()))
}

fn malformed(file: &str, line: usize, column: usize, error: &dyn std::fmt::Display) -> HistoryError {
    // serde_json repeats the place at the end of its words.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    HistoryError::Malformed { file: file.to_owned(), line: line.max(1), column: column.max(1), message }
}

/// The events, and whether the file ends in the middle of one.
fn events(packed: &[u8]) -> Result<(Vec<super::Event>, bool), HistoryError> {
    const FILE: &str = "events.jsonl";
    let decoder = zstd::Decoder::new(packed).map_err(HistoryError::file("events.jsonl.zst"))?;
    let mut content = Vec::new();
    let whole = match decoder.take((LIMIT_MIB << 20) + 1).read_to_end(&mut content) {
        Ok(_) => true,
        // A grader that was killed leaves a frame without an end; anything else is damage.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(HistoryError::file("events.jsonl.zst")(error)),
    };
    if content.len() as u64 > LIMIT_MIB << 20 {
        return Err(HistoryError::TooLarge { file: FILE.to_owned(), limit_mib: LIMIT_MIB });
    }
    let ends = content.last() == Some(&b'\n') || content.is_empty();
    let mut lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    // After the last line break stands nothing, or a line that was cut off.
    lines.pop();
    let mut events = Vec::with_capacity(lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        let event = serde_json::from_slice(line).map_err(|error| malformed(FILE, index + 1, error.column(), &error))?;
        events.push(event);
    }
    Ok((events, !(whole && ends)))
}
