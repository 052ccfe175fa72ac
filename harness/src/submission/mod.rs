//! Submissions: a workspace as an archive or a folder, read without trusting a byte of it.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::compose::COMPOSE_FILE;
use crate::exercise::{Files, VARIANT_FILE};
use crate::exit::Owner;
use crate::manifests::MANIFESTS;

/// The most files that a submission may have.
const LIMIT_FILES: usize = 2_000;
/// The most bytes that it may have, unpacked.
const LIMIT_BYTES: u64 = 16 << 20;
/// The longest path.
const LIMIT_PATH: usize = 200;
/// The most entries of an archive, with those that do not matter, such as a virtual environment's.
const LIMIT_ENTRIES: usize = 50_000;
/// The most bytes that are read of an archive.
const LIMIT_ARCHIVE: u64 = 128 << 20;
/// The permission that matters: whether a script can be started.
const OWNER_EXECUTES: u32 = 0o100;

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

/// A submission, as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submission {
    /// Its files.
    pub files: Files,
    /// Those of them that its owner may execute.
    pub executable: BTreeSet<String>,
}

/// Reads a submission: a folder, or a tar of one, gzipped or not.
pub fn read(path: &Path) -> Result<Submission, SubmissionError> {
    let failed = |source| SubmissionError::File { path: path.to_owned(), source };
    let mut collected = Collected::default();
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        walk(path, "", &mut collected)?;
    } else {
        unpack(path, &mut collected)?;
    }
    collected.into_submission()
}

#[derive(Default)]
struct Collected {
    submission: Submission,
    bytes: u64,
    seen: BTreeSet<String>,
}

impl Collected {
    fn add(&mut self, name: &str, executable: bool, reader: impl Read) -> Result<(), SubmissionError> {
        sound(name)?;
        if !self.seen.insert(name.to_lowercase()) {
            return Err(rejected(name, "stands in the archive twice, or beside a name that differs in case only"));
        }
        if self.submission.files.len() >= LIMIT_FILES {
            return Err(rejected(name, format!("a submission has at most {LIMIT_FILES} files")));
        }
        let mut content = Vec::new();
        reader.take(LIMIT_BYTES - self.bytes + 1).read_to_end(&mut content).map_err(|error| rejected(name, error.to_string()))?;
        self.bytes += content.len() as u64;
        if self.bytes > LIMIT_BYTES {
            return Err(rejected(name, format!("a submission has at most {} MiB, unpacked", LIMIT_BYTES >> 20)));
        }
        self.submission.files.insert(name.to_owned(), content);
        if executable {
            self.submission.executable.insert(name.to_owned());
        }
        Ok(())
    }

    /// An archive of a folder has the folder's name in front of every path.
    fn into_submission(self) -> Result<Submission, SubmissionError> {
        let Submission { files, executable } = self.submission;
        for path in files.keys() {
            let mut above = path.as_str();
            while let Some((folder, _)) = above.rsplit_once('/') {
                if files.contains_key(folder) {
                    return Err(rejected(folder, "is a file and a folder at once"));
                }
                above = folder;
            }
        }
        let is_deployment = |prefix: &str| {
            let manifests = format!("{prefix}{MANIFESTS}/");
            files.contains_key(&format!("{prefix}{COMPOSE_FILE}")) || files.keys().any(|path| path.starts_with(&manifests))
        };
        let prefix = if is_deployment("") {
            String::new()
        } else {
            let folders: BTreeSet<String> = files.keys().filter_map(|path| path.split_once('/')).map(|(folder, _)| format!("{folder}/")).collect();
            let mut folders = folders.into_iter().filter(|folder| is_deployment(folder));
            let (Some(folder), None) = (folders.next(), folders.next()) else {
                let why = format!("there is no such file, nor a folder `{MANIFESTS}`, neither on top nor in the archive's one folder");
                return Err(rejected(COMPOSE_FILE, why));
            };
            folder
        };
        // What matters is asked again: in front of the folder's name, `.env` was not on top.
        let inside = |path: &str| path.strip_prefix(&prefix).filter(|path| matters(path)).map(str::to_owned);
        Ok(Submission {
            executable: executable.iter().filter_map(|path| inside(path)).collect(),
            files: files.into_iter().filter_map(|(path, content)| Some((inside(&path)?, content))).collect(),
        })
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
            name.chars().take(LIMIT_PATH).collect::<String>().escape_debug().to_string(),
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
            let failed = |source| SubmissionError::File { path: entry.path(), source };
            let file = File::open(entry.path()).map_err(failed)?;
            let executable = file.metadata().map_err(failed)?.permissions().mode() & OWNER_EXECUTES != 0;
            collected.add(&name, executable, file)?;
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
    let mut archive = tar::Archive::new(stream.take(LIMIT_ARCHIVE));
    let damaged = |error: std::io::Error| rejected(archive_name.clone(), format!("not a whole tar archive of a workspace: {error}"));
    for (index, entry) in archive.entries().map_err(damaged)?.enumerate() {
        let entry = entry.map_err(damaged)?;
        if index > LIMIT_ENTRIES {
            return Err(rejected(archive_name.clone(), format!("an archive has at most {LIMIT_ENTRIES} entries")));
        }
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| rejected(archive_name.clone(), "a name is not UTF-8"))?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader || !matters(name.trim_end_matches('/')) {
            continue;
        }
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                let bare = name.trim_end_matches('/');
                if !matches!(bare, "" | ".") {
                    sound(bare)?;
                }
            }
            tar::EntryType::Regular => {
                let executable = entry.header().mode().map_err(damaged)? & OWNER_EXECUTES != 0;
                collected.add(&name, executable, entry)?;
            }
            other => return Err(rejected(name, format!("neither a file nor a folder ({other:?}): links and devices are not part of a submission"))),
        }
    }
    Ok(())
}

/// Writes files below a folder that is not there yet or is empty, readable for everyone whatever the umask: the users of
/// containers are not ours.
pub fn write_files(submission: &Submission, folder: &Path) -> Result<(), SubmissionError> {
    let opened = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|source| SubmissionError::File { path: path.to_owned(), source })
    };
    std::fs::create_dir_all(folder).map_err(|source| SubmissionError::File { path: folder.to_owned(), source })?;
    for (name, content) in &submission.files {
        let path = folder.join(name);
        let failed = |source| SubmissionError::File { path: path.clone(), source };
        for (end, _) in name.match_indices('/') {
            let above = folder.join(&name[..end]);
            if !above.is_dir() {
                std::fs::create_dir_all(&above).map_err(failed)?;
                opened(&above, 0o755)?;
            }
        }
        let mut file = File::options().write(true).create_new(true).open(&path).map_err(failed)?;
        file.write_all(content).map_err(failed)?;
        opened(&path, if submission.executable.contains(name) { 0o755 } else { 0o644 })?;
    }
    opened(folder, 0o755)
}

impl From<Files> for Submission {
    /// Files of which none is executable.
    fn from(files: Files) -> Self {
        Self { files, executable: BTreeSet::new() }
    }
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
        let wrapped = archive(&[
            ("pax_global_header", tar::EntryType::XGlobalHeader, ""),
            ("work/", Directory, ""),
            ("work/.env", Regular, "COMPOSE_FILE=evil.yaml"),
            ("work/.venv/bin/python", tar::EntryType::Symlink, ""),
            ("work/compose.yaml", Regular, "a"),
            ("./work/model/app.py", Regular, "b"),
        ]);
        let expected: Files =
            [("compose.yaml", "a"), ("model/app.py", "b")].map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec())).into();
        assert_eq!(read(plain.path()).expect("it is fine").files, expected);
        assert_eq!(read(wrapped.path()).expect("it is fine").files, expected);
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
        let cluster = archive(&[("work/manifests/a.yaml", Regular, "a"), ("work/b", Regular, "b")]);
        assert_eq!(read(cluster.path()).expect("it is fine").files.into_keys().collect::<Vec<_>>(), ["b", "manifests/a.yaml"]);
        assert!(rejection(&[fine, ("x", Regular, "a"), ("x/y", Regular, "a")]).contains("at once"));
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

    #[test]
    fn scripts_stay_executable_and_everything_readable() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut submission = Submission::from(Files::from([("a/start.sh".to_owned(), b"x".to_vec()), ("compose.yaml".to_owned(), b"y".to_vec())]));
        submission.executable.insert("a/start.sh".to_owned());
        write_files(&submission, &folder.path().join("made")).expect("writable");
        assert_eq!(read(&folder.path().join("made")).expect("it is fine"), submission);
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!([mode("made"), mode("made/a"), mode("made/a/start.sh"), mode("made/compose.yaml")], [0o755, 0o755, 0o755, 0o644]);
    }
}
