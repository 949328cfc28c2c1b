"""One worker's machinery: intake → lane → dispatch → decide → settlement → progress."""
