use std::fs;

/// The process that listens on a TCP port of this machine, if we may see it.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let sockets: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let inode = sockets.iter().flat_map(|text| text.lines()).find_map(|line| listening(line, port))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let holders = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == wanted.as_str())
    });
    // Children inherit the socket; the server itself is the eldest.
    holders.min()
}

/// The socket's inode, if this line is about one that listens on `port`.
fn listening(line: &str, port: u16) -> Option<&str> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let number = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (state == "0A" && number == port).then(|| fields.nth(5)).flatten()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_by_the_port() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap().port()), Some(std::process::id()));
    }
}
