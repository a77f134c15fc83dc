"""All compiled code: the algebra of Gaussian weights, of divisions and of sparse fields, and how it is compiled.

Enters: functions of numbers and arrays, which know no model.
"""
