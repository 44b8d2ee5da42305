//! What a connection is told that is not let in.

/// `maxclients` connections are open.
pub(super) const TOO_MANY_CLIENTS: &str = "-ERR max number of clients reached\r\n";

/// Protected mode: no password is set and the client comes from elsewhere.
pub(super) const PROTECTED: &str = "-DENIED Ferrock is in protected mode: no password is set, so only \
clients on this machine are served. To serve others, set 'requirepass' (or a password for the default \
user), or, if only trusted machines can reach this port, 'CONFIG SET protected-mode no' from this \
machine, or start the server with '--protected-mode no'.\r\n";
