//! Submissions: a workspace as an archive or a folder, read without trusting a byte of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::exercise::{Files, VARIANT_FILE};
use crate::exit::Owner;

/// The most files that a submission may have.
const LIMIT_FILES: usize = 2_000;
/// The most bytes that it may have, unpacked.
const LIMIT_BYTES: u64 = 16 << 20;
/// The longest path.
const LIMIT_PATH: usize = 200;

/// Why a submission cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// It breaks a rule for submissions: the candidate's to answer for.
    #[error("`{path}`: {message}")]
    Rejected {
        /// The path in the submission, or the archive.
        path: String,
        /// The rule.
        message: String,
    },
    /// It cannot be opened or written at all.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}

impl SubmissionError {
    /// Whose error it is.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Rejected { .. } => Owner::Candidate,
            Self::File { .. } => Owner::Operator,
        }
    }
}

fn rejected(path: impl Into<String>, message: impl Into<String>) -> SubmissionError {
    SubmissionError::Rejected { path: path.into(), message: message.into() }
}

/// The files of a submission: a folder, or a tar of one, gzipped or not.
pub fn read(path: &Path) -> Result<Files, SubmissionError> {
    let failed = |source| SubmissionError::File { path: path.to_owned(), source };
    let mut collected = Collected::default();
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        walk(path, "", &mut collected)?;
    } else {
        unpack(path, &mut collected)?;
    }
    collected.into_files()
}

#[derive(Default)]
struct Collected {
    files: Files,
    bytes: u64,
    seen: BTreeSet<String>,
}

impl Collected {
    fn add(&mut self, name: &str, reader: impl Read) -> Result<(), SubmissionError> {
        if !matters(name) {
            return Ok(());
        }
        sound(name)?;
        if !self.seen.insert(name.to_lowercase()) {
            return Err(rejected(name, "stands in the archive twice, or beside a name that differs in case only"));
        }
        if self.files.len() >= LIMIT_FILES {
            return Err(rejected(name, format!("a submission has at most {LIMIT_FILES} files")));
        }
        let mut content = Vec::new();
        reader.take(LIMIT_BYTES - self.bytes + 1).read_to_end(&mut content).map_err(|error| rejected(name, error.to_string()))?;
        self.bytes += content.len() as u64;
        if self.bytes > LIMIT_BYTES {
            return Err(rejected(name, format!("a submission has at most {} MiB, unpacked", LIMIT_BYTES >> 20)));
        }
        self.files.insert(name.to_owned(), content);
        Ok(())
    }

    /// An archive of a folder has the folder's name in front of every path.
    fn into_files(self) -> Result<Files, SubmissionError> {
        let compose = crate::compose::COMPOSE_FILE;
        if self.files.contains_key(compose) {
            return Ok(self.files);
        }
        let folders: BTreeSet<String> = self.files.keys().filter_map(|path| path.split_once('/')).map(|(folder, _)| folder.to_owned()).collect();
        let mut folders = folders.into_iter().filter(|folder| self.files.contains_key(&format!("{folder}/{compose}")));
        match (folders.next(), folders.next()) {
            (Some(folder), None) => {
                let prefix = format!("{folder}/");
                let inside = self.files.into_iter();
                Ok(inside.filter_map(|(path, content)| Some((path.strip_prefix(&prefix)?.to_owned(), content))).collect())
            }
            _ => Err(rejected(compose, "there is no such file, neither on top nor in the archive's one folder")),
        }
    }
}

/// What the harness or a tool keeps in a workspace is not part of the submission.
fn matters(name: &str) -> bool {
    let ours = name.split('/').any(|part| part == ".modeldown") && !name.ends_with(VARIANT_FILE);
    let tools = name
        .split('/')
        .any(|part| matches!(part, ".git" | "__pycache__" | ".venv" | "node_modules" | ".idea" | ".vscode" | ".ruff_cache" | ".mypy_cache"));
    !ours && !tools && name != ".env"
}

fn sound(name: &str) -> Result<(), SubmissionError> {
    let part_is_sound = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.ends_with(' ');
    if name.len() > LIMIT_PATH
        || name.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
        || !name.split('/').all(part_is_sound)
    {
        return Err(rejected(
            name.escape_debug().to_string(),
            format!("not a path that a submission may have: at most {LIMIT_PATH} bytes, relative, of plain names"),
        ));
    }
    Ok(())
}

fn walk(folder: &Path, prefix: &str, collected: &mut Collected) -> Result<(), SubmissionError> {
    let failed = |source| SubmissionError::File { path: folder.to_owned(), source };
    let mut entries: Vec<_> = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else {
            return Err(rejected(format!("{prefix}{}", entry.file_name().to_string_lossy()), "the name is not UTF-8"));
        };
        let name = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            if matters(&format!("{name}/{VARIANT_FILE}")) || name == ".modeldown" {
                walk(&entry.path(), &format!("{name}/"), collected)?;
            }
        } else if !matters(&name) {
        } else if kind.is_file() {
            let file = File::open(entry.path()).map_err(|source| SubmissionError::File { path: entry.path(), source })?;
            collected.add(&name, file)?;
        } else {
            return Err(rejected(name, "neither a file nor a folder: links and devices are not part of a submission"));
        }
    }
    Ok(())
}

fn unpack(path: &Path, collected: &mut Collected) -> Result<(), SubmissionError> {
    let failed = |source| SubmissionError::File { path: path.to_owned(), source };
    let archive_name = path.display().to_string();
    let mut file = File::open(path).map_err(failed)?;
    let mut start = [0; 2];
    let length = file.read(&mut start).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let stream: Box<dyn Read> = if start[..length] == [0x1f, 0x8b] { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    // Headers and padding come on top of the files themselves.
    let mut archive = tar::Archive::new(stream.take(LIMIT_BYTES + (LIMIT_FILES as u64) * 2_048));
    let damaged = |error: std::io::Error| rejected(archive_name.clone(), format!("not a whole tar archive of a workspace: {error}"));
    for (index, entry) in archive.entries().map_err(damaged)?.enumerate() {
        let entry = entry.map_err(damaged)?;
        if index > LIMIT_FILES * 2 {
            return Err(rejected(archive_name.clone(), format!("a submission has at most {LIMIT_FILES} files")));
        }
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| rejected(archive_name.clone(), "a name is not UTF-8"))?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                let bare = name.trim_end_matches('/');
                if !matches!(bare, "" | ".") {
                    sound(bare)?;
                }
            }
            tar::EntryType::Regular => collected.add(&name, entry)?,
            other => return Err(rejected(name, format!("neither a file nor a folder ({other:?}): links and devices are not part of a submission"))),
        }
    }
    Ok(())
}

/// Writes files below a folder that is not there yet or is empty.
pub fn write_files(files: &Files, folder: &Path) -> Result<(), SubmissionError> {
    for (name, content) in files {
        let path = folder.join(name);
        let failed = |source| SubmissionError::File { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let mut file = File::options().write(true).create_new(true).open(&path).map_err(failed)?;
        file.write_all(content).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar with entries of any name and type, which the library's own builder would refuse.
    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> tempfile::NamedTempFile {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(if *kind == tar::EntryType::Regular { content.len() as u64 } else { 0 });
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).expect("in memory");
        }
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&builder.into_inner().expect("in memory")).expect("writable");
        file
    }

    fn rejection(entries: &[(&str, tar::EntryType, &str)]) -> String {
        read(archive(entries).path()).expect_err("it must be rejected").to_string()
    }

    #[test]
    fn an_archive_of_the_folder_or_of_its_content_is_the_same() {
        use tar::EntryType::{Directory, Regular};
        let plain = archive(&[("compose.yaml", Regular, "a"), ("model/app.py", Regular, "b"), (".env", Regular, "c"), (".git/x", Regular, "d")]);
        let wrapped = archive(&[("work/", Directory, ""), ("work/compose.yaml", Regular, "a"), ("./work/model/app.py", Regular, "b")]);
        let expected: Files =
            [("compose.yaml", "a"), ("model/app.py", "b")].map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec())).into();
        assert_eq!(read(plain.path()).expect("it is fine"), expected);
        assert_eq!(read(wrapped.path()).expect("it is fine"), expected);
    }

    #[test]
    fn hostile_archives_are_rejected() {
        use tar::EntryType::{Link, Regular, Symlink};
        let fine = ("compose.yaml", Regular, "a");
        for name in ["../x", "/etc/passwd", "a//b", "a/../b", "a\u{7}", "C:\\x", "a/./b", "x "] {
            assert!(rejection(&[fine, (name, Regular, "x")]).contains("not a path"), "{name}");
        }
        assert!(rejection(&[fine, ("x", Symlink, "")]).contains("links"));
        assert!(rejection(&[fine, ("x", Link, "")]).contains("links"));
        assert!(rejection(&[fine, ("x", tar::EntryType::Char, "")]).contains("devices"));
        assert!(rejection(&[fine, ("COMPOSE.yaml", Regular, "b")]).contains("twice"));
        assert!(rejection(&[fine, ("big", Regular, &"x".repeat(17 << 20))]).contains("16 MiB"));
        assert!(rejection(&[("x", Regular, "a")]).contains("compose.yaml"));
        let mut garbage = tempfile::NamedTempFile::new().expect("a file");
        garbage.write_all(&[7; 2_000]).expect("writable");
        assert!(matches!(read(garbage.path()), Err(SubmissionError::Rejected { .. })));
    }

    #[test]
    fn a_folder_with_a_link_is_rejected() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("compose.yaml"), "a").expect("writable");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("x")).expect("writable");
        assert!(read(folder.path()).expect_err("it must be rejected").to_string().contains("links"));
    }
}
