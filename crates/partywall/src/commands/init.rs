//! `init`: read the Compose files and the host, write `partywall.yaml`.

use pw_model::config;

use crate::cli::{Common, Init};
use crate::printer::Printer;
use crate::stop::Stop;

pub(crate) async fn run(_common: &Common, arguments: &Init, printer: &mut Printer) -> Result<(), Stop> {
    if arguments.schema {
        return printer.answer(config::schema() + "\n");
    }
    printer.answer(config::EXAMPLE)
}
