"""The oracle: every operation in NumPy, written like the mathematics, its forward beside its backward.

Simplicity stands above speed: loops run over the taps of a window, never over pixels. Everything works in the dtype
of what it is given; the reference engine gives float64.

    arrays.py      the array type that all of these take
    taps.py        a sliding window as strided views of the padded image
    rule.py        what a rule is: forward and backward of one kind of layer
    conv.py  pool.py  linear.py  activation.py  channels.py  normalization.py  dropout.py  join.py
                   the layers, each file with its rules at the end; rules.py collects them
    loss.py  optimizer.py                         what training adds
    network.py     a whole Graph, forward and backward: it walks the edges and knows no layer
    int8.py                                       a whole Graph that predicts in int8
"""
