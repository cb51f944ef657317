//! The loopback device of a network namespace: it is there, and down.

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socket_with};

/// `RTM_NEWLINK` of `linux/rtnetlink.h`: sets what a device is.
const SET_LINK: u16 = 16;
/// `NLM_F_REQUEST` of `linux/netlink.h`.
const REQUEST: u16 = 1;
/// The number of the loopback device in every namespace.
const LOOPBACK: u32 = 1;
/// `IFF_UP` of `linux/if.h`.
const UP: u32 = 1;

/// Brings it up, so that programs of the root reach each other.
///
/// # Errors
/// When the kernel refuses.
pub fn up() -> Result<()> {
    let what = "cannot bring the loopback device up";
    // Without a protocol it is that of routes and devices.
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).context(what)?;
    send(&socket, &message(), SendFlags::empty()).context(what)?;
    Ok(())
}

/// `struct nlmsghdr`, then `struct ifinfomsg`.
fn message() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(32_u32.to_ne_bytes());
    bytes.extend(SET_LINK.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Its number, and who asks: of no use here. Then family and type: any.
    bytes.extend([0; 12]);
    bytes.extend(LOOPBACK.to_ne_bytes());
    // The new flags, and which of them are meant.
    bytes.extend(UP.to_ne_bytes());
    bytes.extend(UP.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_size_that_it_says() {
        let message = message();
        assert_eq!(message.len(), 32);
        assert_eq!(message[..4], 32_u32.to_ne_bytes());
    }
}
