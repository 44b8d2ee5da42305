//! Makes a failing case small: parts of the command list are left out as long as
//! a difference remains, by halves, quarters and so on down to single commands.

use super::grammar::Command;

/// Replays are cheap, but a case that keeps failing in new ways must end too.
const REPLAYS_MAX: usize = 600;

/// The smallest list found for which `fails` still holds.
pub fn shrink(mut commands: Vec<Command>, mut fails: impl FnMut(&[Command]) -> bool) -> Vec<Command> {
    let mut replays = 0;
    let mut chunk = commands.len().div_ceil(2);
    while chunk > 0 && replays < REPLAYS_MAX {
        let mut at = 0;
        let mut shrunk = false;
        while at < commands.len() && replays < REPLAYS_MAX {
            let mut shorter = commands.clone();
            shorter.drain(at..(at + chunk).min(commands.len()));
            replays += 1;
            if !shorter.is_empty() && fails(&shorter) {
                commands = shorter;
                shrunk = true;
            } else {
                at += chunk;
            }
        }
        if chunk == 1 && !shrunk {
            break;
        }
        if !shrunk || chunk > commands.len() {
            chunk = if chunk == 1 { 1 } else { chunk / 2 };
        }
        chunk = chunk.min(commands.len().div_ceil(2)).max(1);
    }
    commands
}
