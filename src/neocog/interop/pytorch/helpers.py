"""What a network's Python file needs besides PyTorch's own modules, as text."""

ROWS_FIRST, CHANNELS_FIRST = "rows_first", "channels_first"
HELPERS = {
    ROWS_FIRST: '''def rows_first(x, channels, rows, columns):
    """Bring vectors from (channel, row, column) to (row, column, channel) order."""
    return x.reshape(-1, channels, rows, columns).permute(0, 2, 3, 1).flatten(1)
''',
    CHANNELS_FIRST: '''def channels_first(x, channels, rows, columns):
    """Bring vectors from (row, column, channel) to (channel, row, column) order."""
    return x.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2).flatten(1)
''',
    "PaddedMean": '''class PaddedMean(nn.Module):
    """The mean of each window, of which so many cells count in each row and column."""

    def __init__(self, kernel, stride, around, rows, columns):
        super().__init__()
        self.pool, self.around = nn.AvgPool2d(kernel, stride), around
        counted = torch.tensor(rows)[:, None] * torch.tensor(columns)
        self.register_buffer("share", kernel[0] * kernel[1] / counted, persistent=False)

    def forward(self, x):
        return self.pool(F.pad(x, self.around)) * self.share
''',
    "FrozenNorm": '''class FrozenNorm(nn.BatchNorm2d):
    """Takes its running averages while training too, and leaves them as they are."""

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
''',
    "Scale": '''class Scale(nn.Module):
    """One factor for each channel."""

    def __init__(self, channels, start):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))

    def forward(self, x):
        return x * self.weight.view(1, -1, *(1,) * (x.ndim - 2))
''',
    "DropPath": '''class DropPath(nn.Module):
    """While training, leaves images out, and makes the others larger in proportion."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device) >= self.rate
        return torch.where(kept, x / (1 - self.rate), 0.0)
''',
}
"""From a name to its text. A file holds those that its layers use, in this order."""
