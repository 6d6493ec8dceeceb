"""The oracle: every operation in NumPy, written like the mathematics, its forward beside its backward.

Simplicity stands above speed: loops run over the taps of a window, never over pixels. Everything works in the dtype
of what it is given; the reference engine gives float64.

    arrays.py      the array type that all of these take
    taps.py        a sliding window as strided views of the padded image
    conv.py  pool.py  linear.py  activation.py    the layers
    loss.py  optimizer.py                         what training adds
    network.py     a whole Graph, forward and backward
"""
