"""The pure floor: values, decisions and formulas; standard library only, no clock, disk, network or print."""
