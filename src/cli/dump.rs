//! `ferrock dump`: a database directory to one file, while no server runs.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::offline::{FilterArguments, Opened, Progress, Unit, failed, with_path};
use crate::base::clock;
use crate::commands::REDIS_VERSION;
use crate::encoding::dump::{DumpHead, DumpWriter};
use crate::encoding::rdb;
use crate::storage::Recovery;
use crate::transfer::{Filter, Frozen, Piece, ScriptWriter, TransferError};

const BUFFER_BYTES: usize = 1 << 20;

/// Write a database to a file, while no server runs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ferrock dump --dir /var/lib/ferrock all.dump
  ferrock dump --dir /var/lib/ferrock --format rdb dump.rdb
  ferrock dump --dir /var/lib/ferrock --format resp - | redis-cli --pipe
  ferrock dump --dir /var/lib/ferrock --database 0 --match 'user:*' --type hash users.dump

A running server writes an RDB file by itself: BGSAVE.")]
pub(super) struct Arguments {
    /// The database directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Ferrock's own format, Redis' RDB, or commands.
    #[arg(long, value_enum, default_value_t = Format::Ferrock)]
    format: Format,
    #[command(flatten)]
    filter: FilterArguments,
    /// With --format resp: delete each key before it is made.
    #[arg(long)]
    replace: bool,
    /// The file to write, or - for standard output.
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Ferrock,
    Rdb,
    Resp,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match dump(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough.
        Err(TransferError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn dump(arguments: &Arguments) -> Result<(), TransferError> {
    let opened = Opened::existing(&arguments.dir, Recovery::default())?;
    let keys = if arguments.file == Path::new("-") {
        write(arguments, &opened, BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()))?
    } else {
        to_file(arguments, &opened, &arguments.file)?
    };
    eprintln!("{keys} keys dumped");
    opened.close()?;
    Ok(())
}

/// The file appears when it is complete.
fn to_file(arguments: &Arguments, opened: &Opened, path: &Path) -> Result<u64, TransferError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut made = tempfile::Builder::new();
    made.prefix(".ferrock-dump-").permissions(Permissions::from_mode(0o666));
    let made = made.tempfile_in(folder).map_err(with_path(folder))?;
    let keys = write(arguments, opened, BufWriter::with_capacity(BUFFER_BYTES, made.as_file()))?;
    made.as_file().sync_all().map_err(with_path(path))?;
    made.persist(path).map_err(|error| with_path(path)(error.error))?;
    Ok(keys)
}

fn write(arguments: &Arguments, opened: &Opened, to: impl Write) -> Result<u64, TransferError> {
    let filter = arguments.filter.filter();
    match arguments.format {
        Format::Ferrock => {
            let head = DumpHead {
                created_ms: clock::now_ms(),
                made_by: concat!("ferrock ", env!("CARGO_PKG_VERSION")).into(),
                databases: opened.store.database_count(),
            };
            let mut writer = rdb::Writer::new(DumpWriter::begin(to, &head)?, false);
            let keys = show(opened, &filter, |piece| Ok(writer.piece(&piece)?))?;
            writer.finish()?.finish()?;
            Ok(keys)
        }
        Format::Rdb => {
            let mut writer = rdb::Writer::new(to, true);
            writer.begin(&facts())?;
            let keys = show(opened, &filter, |piece| Ok(writer.piece(&piece)?))?;
            writer.finish()?;
            Ok(keys)
        }
        Format::Resp => {
            let mut writer = ScriptWriter::new(to, arguments.replace);
            let keys = show(opened, &filter, |piece| Ok(writer.piece(piece)?))?;
            writer.finish()?;
            Ok(keys)
        }
    }
}

fn facts() -> [(&'static str, String); 3] {
    [
        ("redis-ver", REDIS_VERSION.into()),
        ("redis-bits", usize::BITS.to_string()),
        ("ctime", (clock::now_ms() / 1000).to_string()),
    ]
}

/// Shows all keys that are meant, with progress; tells how many.
fn show(
    opened: &Opened,
    filter: &Filter,
    mut write: impl FnMut(Piece) -> Result<(), TransferError>,
) -> Result<u64, TransferError> {
    let mut progress = Progress::new("dumping", opened.estimated_keys(), Unit::Keys);
    let mut keys = 0;
    Frozen::now(&opened.store).show(filter, |piece| {
        if matches!(piece, Piece::End) {
            keys += 1;
            progress.reached(keys);
        }
        write(piece)
    })?;
    progress.finish();
    Ok(keys)
}
