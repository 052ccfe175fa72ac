//! Reading a history: a folder or a tar of it, with limits, since a history may come from anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{Event, FORMAT, History, HistoryError, Line, MONITORING, Manifest, RECORDING, REPLAY, What};

/// The most that one file of a history may hold, unpacked. A full exam's events are a fiftieth of it; a submission that blows up
/// what is recorded of it (lists of targets, notifications) reaches a third, and must not reach this: it would escape its verdict.
const LIMIT_MIB: u64 = 256;
/// The most events: a full exam has some fifteen thousand.
const EVENTS: usize = 1_000_000;
/// No exam is longer. A time beyond it is a mistake, and a report would draw it second by second.
const LONGEST_NS: u64 = 24 * 3_600 * 1_000_000_000;
const FILES: [&str; 5] = ["manifest.json", "exam.yaml", "checks.yaml", "requirements.json", "events.jsonl.zst"];
/// What a history has only where there was a replay.
const MORE: [&str; 2] = [MONITORING, REPLAY];

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
        match format {
            0 => return Err(HistoryError::Unknown { found: format }),
            1..=FORMAT => {}
            _ => return Err(HistoryError::Newer { found: format }),
        }
        let manifest: Manifest = json("manifest.json", &manifest)?;
        let requirements: BTreeMap<String, String> = json("requirements.json", &take("requirements.json")?)?;
        let exam = text("exam.yaml", take("exam.yaml")?)?;
        let checks = text("checks.yaml", take("checks.yaml")?)?;
        let (events, truncated) = events(&take("events.jsonl.zst")?)?;
        let replay = files.remove(REPLAY).map(|packed| replay(&packed)).transpose()?;
        let monitoring = files.remove(MONITORING).map(|content| json(MONITORING, &content)).transpose()?;
        Ok(Self { manifest, events, exam, checks, requirements, truncated, monitoring, replay })
    }
}

/// The recording in a history's folder, unpacked; nothing where there is none.
pub fn recording(folder: &Path) -> Result<Option<Vec<u8>>, HistoryError> {
    kept(folder, RECORDING)?.map(|packed| whole(RECORDING, &packed)).transpose()
}

fn kept(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, HistoryError> {
    let path = folder.join(name);
    match File::open(&path) {
        Ok(file) => limited(name, file).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HistoryError::file(&path)(error)),
    }
}

/// What a packed file holds that is written whole or not at all.
fn whole(name: &str, packed: &[u8]) -> Result<Vec<u8>, HistoryError> {
    match unpacked(name, packed)? {
        (content, true) => Ok(content),
        (_, false) => Err(HistoryError::file(name)(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it is cut off"))),
    }
}

/// What a replay came to.
fn replay(packed: &[u8]) -> Result<Vec<Line>, HistoryError> {
    let content = whole(REPLAY, packed)?;
    let parse =
        |(index, line): (usize, &str)| serde_json::from_str(line).map_err(|error| malformed("replay.jsonl", index + 1, error.column(), &error));
    utf8("replay.jsonl", &content)?.lines().enumerate().map(parse).collect()
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
    for name in MORE {
        files.extend(kept(folder, name)?.map(|content| (name.to_owned(), content)));
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
    // Five files at most are read, each within its limit; what stands between them is skipped, within the same.
    let mut archive = tar::Archive::new(stream.take((FILES.len() as u64 * LIMIT_MIB) << 20));
    let not_a_tar = |source| HistoryError::NotAHistory { path: path.to_owned(), source };
    for entry in archive.entries().map_err(not_a_tar)? {
        let entry = entry.map_err(not_a_tar)?;
        let name = entry.path().ok().and_then(|inside| inside.file_name()?.to_str().map(str::to_owned));
        if let Some(name) = name.filter(|name| FILES.contains(&name.as_str()) || MORE.contains(&name.as_str())) {
            let content = limited(&name, entry)?;
            if files.insert(name.clone(), content).is_some() {
                return Err(HistoryError::Twice { file: name });
            }
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
    let content = utf8(file, content)?;
    serde_json::from_str(content).map_err(|error| malformed(file, error.line(), error.column(), &error))
}

fn text(file: &str, content: Vec<u8>) -> Result<String, HistoryError> {
    utf8(file, &content)?;
    Ok(String::from_utf8(content).unwrap_or_default())
}

/// A text, or the place of the first byte that is not UTF-8.
fn utf8<'a>(file: &str, content: &'a [u8]) -> Result<&'a str, HistoryError> {
    std::str::from_utf8(content).map_err(|error| {
        let before = &content[..error.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        malformed(file, line, column, &format!("this is not UTF-8, and a history is: {error}"))
    })
}

fn malformed(file: &str, line: usize, column: usize, error: &dyn std::fmt::Display) -> HistoryError {
    // serde_json repeats the place at the end of its words.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    HistoryError::Malformed { file: file.to_owned(), line: line.max(1), column: column.max(1), message }
}

/// The events, and whether the file ends in the middle of one.
fn events(packed: &[u8]) -> Result<(Vec<Event>, bool), HistoryError> {
    let (content, whole) = unpacked("events.jsonl.zst", packed)?;
    // After the last line break stands nothing, or a line that was cut off.
    let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = utf8(EVENTS_FILE, &content[..end])?;
    let mut events = Vec::new();
    for (index, line) in lines.lines().enumerate() {
        let complain = |column: usize, error: &dyn std::fmt::Display| Err(malformed(EVENTS_FILE, index + 1, column, error));
        let event: Event = match serde_json::from_str(line) {
            Ok(event) => event,
            Err(error) => return complain(error.column(), &error),
        };
        if index >= EVENTS {
            return complain(1, &format!("an exam has fewer than {EVENTS} events"));
        }
        if let Some(message) = misplaced(&event) {
            return complain(1, &message);
        }
        events.push(event);
    }
    // An exam that recorded nothing at all was broken off, too.
    let truncated = !whole || end < content.len() || events.is_empty();
    Ok((events, truncated))
}

const EVENTS_FILE: &str = "events.jsonl";

/// What a packed file holds, and whether it is whole.
fn unpacked(name: &str, packed: &[u8]) -> Result<(Vec<u8>, bool), HistoryError> {
    let mut content = Vec::new();
    let decoder = zstd::Decoder::new(packed).map_err(HistoryError::file(name))?;
    let whole = match decoder.take((LIMIT_MIB << 20) + 1).read_to_end(&mut content) {
        Ok(_) => true,
        // A grader that was killed leaves a frame without an end; anything else is damage.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(HistoryError::file(name)(error)),
    };
    if content.len() as u64 > LIMIT_MIB << 20 {
        return Err(HistoryError::TooLarge { file: name.trim_end_matches(".zst").to_owned(), limit_mib: LIMIT_MIB });
    }
    Ok((content, whole))
}

/// What is wrong with the times of an event: judges and the picture reckon with them.
fn misplaced(event: &Event) -> Option<String> {
    let (due, began, ended) = match &event.what {
        What::Request { intended_ns, sent_ns, done_ns, .. } => (*intended_ns, *sent_ns, *done_ns),
        What::Watched { sent_ns, done_ns, .. } => (*sent_ns, *sent_ns, *done_ns),
        What::Command { began_ns, .. } => (*began_ns, *began_ns, event.at_ns),
        _ => (event.at_ns, event.at_ns, event.at_ns),
    };
    if ended < began {
        return Some(format!("it ended at {ended} ns, before it began at {began} ns"));
    }
    let last = event.at_ns.max(ended).max(due);
    (last > LONGEST_NS).then(|| format!("{last} ns is more than a day after the exam began"))
}
