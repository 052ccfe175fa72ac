//! The report as a browser shows it.

use std::path::Path;

use acceptance::{Home, docker, lines, said};

/// Opens `report.html` in a browser that reaches nothing else, and looks for texts on the page.
pub(crate) fn shows(home: &Home, out: &Path, texts: &[&str]) {
    let image = home.harness().args(["images", "browser"]).output().expect("it runs");
    assert!(image.status.success(), "{}", said(&image));
    let image = lines(&image).pop().expect("it prints a tag");
    let mount = format!("{}:/report:ro", out.display());
    let browser = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--user-data-dir=/tmp/profile",
        "--dump-dom",
        "file:///report/report.html",
    ];
    let page = docker(["run", "--rm", "--network", "none", "--volume", &mount, &image].into_iter().chain(browser));
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    for text in texts {
        assert!(page.contains(text), "`{text}` is missing in {}", out.join("report.html").display());
    }
}
