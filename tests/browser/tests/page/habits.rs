//! What people do: open the page as a file or from another machine, drop folders, hide the tab, and name songs freely.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use browser::{Gpu, Window};
use serde_json::json;

use crate::journey::invent;
use crate::page::Page;
use crate::song::{self, decode, snr_db};
use crate::world::{Skipped, Test, World};
use crate::{invented, zip};

pub(crate) const TESTS: &[Test] = &[
    ("a_page_that_is_opened_as_a_file_says_what_to_do", opened_as_file),
    ("plain_http_from_another_machine_is_explained_and_works", plain_http),
    ("dropped_folders_are_separated_one_song_after_another", folders),
    ("the_browser_stays_awake_for_a_separation_and_no_longer", awake),
    ("files_have_names_that_every_system_accepts", names),
    ("two_stems_are_those_of_the_command_line", two_stems),
    ("other_programs_read_a_zip_beyond_4_gib", large_zip),
];

fn opened_as_file(world: &World) -> Result<()> {
    let page = Page::blank(world, Gpu::None)?;
    let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/index.html").canonicalize()?;
    page.browser.go(&format!("file://{}", index.display()))?;
    page.until("$('no-start').dataset.why === 'file'")?;
    page.ensure("$('no-start').checkVisibility({ visibilityProperty: true })")?;
    page.ensure(
        "/cannot run from a file.*cargo xtask web serve.*https.*localhost/s.test($('no-start').innerText)",
    )?;
    page.ensure("!/did not start/.test($('no-start').innerText)")?;
    // Nothing is offered that would not work.
    page.ensure("![...document.querySelectorAll('button')].some((button) => button.checkVisibility())")?;
    // Served by http, the same page shows no such notice.
    page.load(world, "?device=cpu")?;
    page.ensure("$('no-start') === null && isSecureContext && notices().length === 0")?;

    // A part of the page that is missing is reported too.
    page.browser.devtools("Network.enable", &json!({}))?;
    page.browser.devtools("Network.setBlockedURLs", &json!({ "urls": ["*/app/mix.js"] }))?;
    page.browser.go(&world.page)?;
    page.until("$('no-start').dataset.why === 'other'")?;
    page.ensure("/did not start/.test($('no-start').innerText) && $('no-start').checkVisibility()")
}

/// Passes requests on to the page's server, which answers only requests that name this machine. Returns the port, which
/// is open on all of this machine's addresses.
fn forward(page: &str) -> Result<u16> {
    let to = page.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')).context("an address")?;
    let to = to.to_owned();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    // The thread ends with the tests.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let to = to.clone();
            thread::spawn(move || pass_on(client, &to).ok());
        }
    });
    Ok(port)
}

fn pass_on(mut client: TcpStream, to: &str) -> io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte)? > 0 {
        request.push(byte[0]);
    }
    let lines = String::from_utf8_lossy(&request);
    let lines = lines.lines().map(|line| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("host") => format!("{name}: {to}\r\n"),
        _ => format!("{line}\r\n"),
    });
    let mut server = TcpStream::connect(to)?;
    server.write_all(lines.collect::<String>().as_bytes())?;
    io::copy(&mut server, &mut client).map(drop)
}

fn plain_http(world: &World) -> Result<()> {
    let page = Page::blank(world, Gpu::None)?;
    // A browser does not take this address for the local machine.
    page.browser.go(&format!("http://0.0.0.0:{}/", forward(&world.page)?))?;
    page.until("$('model-stems').children.length > 0")?;
    page.ensure("!isSecureContext && notices().length === 1")?;
    page.ensure("/^This address limits the browser.*http:\\/\\/0\\.0\\.0\\.0.*CPU.*cargo xtask web serve.*https/.test(notices()[0])")?;
    page.ensure("$('device').dataset.kind === 'cpu' && $('notice').getAttribute('role') === 'status'")?;
    page.add(&invent(world, "from afar", 1.2)?)?;
    page.separate()?;
    ensure!(decode(&page.download_stem("from afar", "drums")?)?.len() > 2 * 44_100);
    page.end()
}

/// Drops files and folders onto the page.
fn drop_onto(page: &Page<'_>, paths: &[&Path]) -> Result<()> {
    let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
    for kind in ["dragEnter", "dragOver", "drop"] {
        let event = json!({ "type": kind, "x": 300, "y": 300, "data": data });
        page.browser.devtools("Input.dispatchDragEvent", &event)?;
    }
    Ok(())
}

fn folders(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let album = folder.path().join("Album");
    for sub in ["Disc 2", "__MACOSX"] {
        fs::create_dir_all(album.join(sub))?;
    }
    for name in ["10 Last.wav", "2. Second.wav", "Disc 2/1 Extra.WAV", "__MACOSX/1 Extra.wav"] {
        song::write(&album.join(name), 1.1)?;
    }
    fs::write(album.join("cover.jpg"), "a picture")?;
    fs::write(album.join("3 Bad.mp3"), "no song".repeat(500))?;
    let photos = folder.path().join("Photos");
    fs::create_dir(&photos)?;
    fs::write(photos.join("beach.jpg"), "a picture")?;

    let model = world.folder.path().join("queue.safetensors");
    invented::write(&model)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.use_model(&model)?;
    drop_onto(&page, &[&photos, &album])?;
    let names = "[...document.querySelectorAll('.song-name')].map((name) => name.textContent)";
    page.until(&format!("{names}.length === 4"))?;
    let expected = json!(["2. Second", "3 Bad", "10 Last", "1 Extra"]);
    ensure!(page.value(names)? == expected, "{}", page.value(names)?);
    page.ensure("notices().some((text) => text.startsWith('There are no songs in the folder “Photos”.'))")?;
    page.until("notices().some((text) => text.startsWith('3 Bad.mp3 could not be read.'))")?;
    page.ensure("$('song-title').textContent === '2. Second'")?;

    // One press separates all of them, in the order of the list.
    let states =
        "[...document.querySelectorAll('[data-test=\"song-item\"]')].map((item) => item.dataset.state)";
    let script = format!(
        "window.started = [];
        window.queued = 0;
        for (const item of document.querySelectorAll('[data-test=\"song-item\"]')) {{
            const name = item.querySelector('.song-name').textContent;
            new MutationObserver(() => {{
                if (item.dataset.state === 'running' && !started.includes(name)) started.push(name);
                queued = Math.max(queued, {states}.filter((state) => state === 'queued').length);
            }}).observe(item, {{ attributes: true, attributeFilter: ['data-state'] }});
        }}
        $('separate-all').click();"
    );
    page.browser.run(&script, &[])?;
    page.until(&format!("!{states}.some((state) => state === 'queued' || state === 'running')"))?;
    page.ensure("window.queued >= 2")?;
    let ends = page.value(states)?;
    ensure!(ends == json!(["done", "failed", "done", "done"]), "{ends}");
    page.ensure("started.join() === '2. Second,10 Last,1 Extra'")?;
    page.end()
}

fn awake(world: &World) -> Result<()> {
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.browser.run(
        "window.screens = [];
         const request = WakeLock.prototype.request;
         WakeLock.prototype.request = async function (type) {
             const screen = await request.call(this, type);
             screens.push(screen);
             return screen;
         };
         window.locked = async () => (await navigator.locks.query()).held.filter(({ name }) => name === 'unbraid-work').length;
         window.asks = () => !dispatchEvent(new Event('beforeunload', { cancelable: true }));
         window.hide = (hidden) => {
             Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
             document.dispatchEvent(new Event('visibilitychange'));
         };",
        &[],
    )?;
    page.add(&invent(world, "awake", 9.0)?)?;
    page.ensure("await locked() === 0 && screens.length === 0 && !asks() && document.title === 'Unbraid'")?;
    let lit = "screens.filter(({ released }) => !released).length";
    for round in ["cancelled", "done"] {
        page.click("separate")?;
        page.until("$('song').dataset.state === 'running'")?;
        page.until(&format!("await locked() === 1 && {lit} === 1 && asks()"))?;
        if round == "cancelled" {
            page.click("cancel")?;
        } else {
            page.browser.run("hide(true);", &[])?;
            page.done()?;
        }
        page.until(&format!("await locked() === 0 && {lit} === 0"))?;
    }
    // The person has not seen the end, and the stems are not downloaded.
    page.ensure("document.title === 'Done · awake · Unbraid' && asks()")?;
    page.browser.run("hide(false);", &[])?;
    page.ensure("document.title === 'Unbraid'")?;
    page.download_stem("awake", "drums")?;
    page.ensure("!asks()")?;

    // A file that is gone ends the work too.
    let gone = invent(world, "gone", 9.0)?;
    page.browser.run("$('remove').click();", &[])?;
    page.add(&gone)?;
    fs::write(&gone, "another file")?;
    page.click("separate")?;
    page.until("$('song').dataset.state === 'failed'")?;
    page.until(&format!("await locked() === 0 && {lit} === 0"))?;
    page.end()
}

fn names(world: &World) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let model = world.folder.path().join("names.safetensors");
    invented::write(&model)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.use_model(&model)?;
    // Eight bytes, and one character for a reader.
    let flag = "🇩🇪";
    let cases = [
        ("NUL", ["NUL", "NUL", "_NUL"]),
        ("Mr. Brightside", ["Mr. Brightside"; 3]),
        ("Who? a *song* \u{202e}3pm", ["Who_ a _song_ 3pm"; 3]),
        // The longer the ending of a name, the less of the song fits into 240 bytes.
        (&flag.repeat(31), [&flag.repeat(28), &flag.repeat(28), &flag.repeat(30)]),
    ];
    for (name, [wav, archived, folder_inside]) in cases {
        let path = folder.path().join(format!("{name}.wav"));
        song::write(&path, 1.1)?;
        page.give("file", &path)?;
        page.until("!$('song').hidden && document.querySelector('#range-hint').hidden")?;
        page.separate()?;
        page.download_stem(wav, invented::STEMS[0])?;
        let archive = page.download(|page| page.click("download-zip"), &format!("{archived} - stems.zip"))?;
        let members: Vec<_> = zip::read(&archive)?.into_iter().map(|(name, _)| name).collect();
        ensure!(members == invented::STEMS.map(|stem| format!("{folder_inside}/{stem}.wav")), "{members:?}");
        page.browser.run("$('remove').click();", &[])?;
    }
    page.end()
}

fn two_stems(world: &World) -> Result<()> {
    let file = invent(world, "Two", 4.0)?;
    let page = Page::open(world, Gpu::None, "?device=cpu")?;
    page.add(&file)?;
    page.separate()?;
    page.ensure("/^All stems together are the original with a signal-to-noise ratio of \\d+\\.\\d dB\\.$/.test($('sum').textContent)")?;
    page.choose("format", "float32")?;
    page.choose("pair", "3")?;
    page.ensure("$('sum').textContent === 'Both rows together are exactly the original.'")?;
    page.until("[...document.querySelectorAll('#tracks canvas')].every(painted)")?;
    let out = world.folder.path().join("two");
    let mut command = Command::new(&world.program);
    command.arg("separate").arg(&file).arg("--model").arg(song::model()).arg("--out").arg(&out);
    command.args(["--two-stems", "vocals", "--format", "wav32f", "--device", "cpu"]);
    let output = command.output()?;
    ensure!(output.status.success(), "the native program: {}", String::from_utf8_lossy(&output.stderr));
    let mut sum = Vec::new();
    for name in ["vocals", "no_vocals"] {
        let stem = decode(&page.download_stem("Two", name)?)?;
        let snr = snr_db(&song::read(&out.join("Two").join(name).with_extension("wav"))?, &stem)?;
        println!("  {name} {snr:.1} dB");
        ensure!(snr >= crate::worker::LEAST_SNR_DB, "{name} is {snr:.1} dB from the native stem");
        sum.resize(stem.len(), 0.0f32);
        sum.iter_mut().zip(stem).for_each(|(sum, sample)| *sum += sample);
    }
    let snr = snr_db(&song::read(&file)?, &sum)?;
    println!("  both together are the song, {snr:.1} dB");
    ensure!(snr > 130.0, "both together are {snr:.1} dB from the song");
    // Muting the rest leaves the stem; both are the original, also in the mix.
    let mix = decode(&page.download(|page| page.click("download-mix"), "Two - mix.wav")?)?;
    ensure!(mix == song::read(&file)?, "the mix of both is not the original");
    page.end()
}

/// Reads an archive with Python, whose zip module has its own implementation of the format.
const READ_ZIP: &str = "import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    for entry in archive.infolist():
        print(entry.filename, entry.header_offset, archive.read(entry).decode())";

fn large_zip(world: &World) -> Result<()> {
    if Command::new("python3").arg("--version").output().is_err() {
        return Err(Skipped("python3 is not installed".to_owned()).into());
    }
    let page = Page::blank(world, Gpu::None)?;
    page.browser.go(&format!("{}tests/", world.sources))?;
    // A gap of 5 GiB before the second file takes no space on the disk.
    let script = "const { ZipWriter } = await import('/app/zip.js');
        const pieces = [];
        const piece = (at, bytes) => { pieces.push([at, btoa(String.fromCharCode(...bytes))]); };
        const sink = {
            size: 0,
            append(bytes) { piece(this.size, bytes); this.size += bytes.length; },
            reserve(length) { this.size += length; return this.size - length; },
            fill: piece,
        };
        const text = (text) => (put) => put(new TextEncoder().encode(text));
        sink.size = arguments[0];
        const writer = new ZipWriter(sink, new Date());
        await writer.entry('first', text('one'));
        await writer.entry('夢/second', text('two'));
        await writer.finish();
        return pieces;";
    for before in [0, 0xffff_ffff - 40, 0xffff_ffff - 30, 5u64 << 30] {
        let path = world.folder.path().join("large.zip");
        let mut file = fs::File::create(&path)?;
        for piece in page.browser.run(script, &[before.into()])?.as_array().context("pieces")? {
            let bytes = STANDARD.decode(piece[1].as_str().context("bytes")?)?;
            file.seek(SeekFrom::Start(piece[0].as_u64().context("a position")?))?;
            file.write_all(&bytes)?;
        }
        drop(file);
        let output = Command::new("python3").args(["-c", READ_ZIP]).arg(&path).output()?;
        ensure!(output.status.success(), "{before}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout)?;
        println!("  {}", lines.trim().replace('\n', ", "));
        let expected = format!("first {before} one\n夢/second {} two\n", before + 30 + 5 + 3);
        ensure!(lines == expected, "{before}: {lines}");
        fs::remove_file(&path)?;
    }
    page.end()
}
