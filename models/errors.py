"""What can go wrong, one class per reaction. Every message says where, what was found, what was
wanted and what to do next."""


class MekikiError(Exception):
    """The work failed. Commands print it as one line and exit with `exit_code`."""

    exit_code = 1


class ConfigError(MekikiError):
    """Wrong usage or configuration: a person must change what was typed or written."""

    exit_code = 2


class BundleError(MekikiError):
    """A bundle is missing, incomplete, changed, or not for this version: push it again."""


class UntrustedError(BundleError):
    """A bundle that nobody signed whom this machine trusts: have it signed."""


class ModelError(MekikiError):
    """The model did not compile or run on the device, or disagrees with its golden images."""


class DeviceError(ModelError):
    """The device is not there, or does not say what it is: no fault of a model. Try again when it is back."""


class DatasetError(MekikiError):
    """The images given cannot be learned from or measured on."""


class CameraError(MekikiError):
    """A camera did not open or did not deliver. The daemon publishes `unknown` and tries again."""


class SafeStateError(MekikiError):
    """Verdicts or heartbeats of a box are late: whoever acts on them goes to the safe state."""

    exit_code = 3
